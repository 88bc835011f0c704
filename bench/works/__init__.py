"""The tasks: each module measures one and returns plain data, from which bench/render.py makes tables and figures. A
point is {"name", ..., "need": the minimum that the task needs, "methods": {name: facts}}."""
