"""What keeps strangers from taking what a rollback needs: descriptors, memory, the disk under the journal.

In come connections and requests of whoever reaches the port. Out goes who asks (`peers`), how many may at once and for
how long (`connections`, `connection`), how many the system lets the process hold (`descriptors`), how often somebody
may guess a token (`attempts`), and how often all of that is logged (`rarely`).
"""
