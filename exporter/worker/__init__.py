"""One process for each of several services, so that nothing that one of them costs is paid by another.

In comes what one service is (`order`), out go its updates (`frames`). `process` is this side: it starts the other side,
listens to it, and starts it again when it ends or says nothing. `child` is the other side: the loop of one service.

Threads were not enough. Rows are read and joined in Python, which one thread at a time runs; a shop with twenty times
the orders of the others took the moments in which theirs should have been read. A pool of processes that judge what one
process has read was left aside too: an hour's rows would go through a pipe at each look.
"""
