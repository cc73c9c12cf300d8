"""The shell of both services, and what speaks HTTP with them.

In comes one table of routes (`routes/`) with the handlers of a service; out goes a service (`service`) with Prometheus'
own flags (`options`, `config`) and sockets (`server`), in which every request passes the same `checks` of what its
route says: who may ask, from where, with which body. `client` is the other side, for the command line.
"""
