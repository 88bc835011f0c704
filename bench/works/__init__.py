"""The pieces of work: each module measures one and gives it as plain data; bench/render.py makes tables and figures of it.
A point is {"name", ..., "need": what the work needs at least, "methods": {name: facts}}."""
