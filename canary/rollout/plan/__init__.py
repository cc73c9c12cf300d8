"""The plan that a rollout runs by, and who agrees to it.

In come the policy as it is in the file, and the rollouts. Out goes what each of them runs by (`plans`), what was found
when it began (`passport`), whether enough people agree to raise its weight (`approvals`), and the journal's lines about
all of that (`planentries`).
"""
