"""One module a command: the file's name is the command's name, and `register(app)` adds it.

Modules import what is heavy (NumPy, the broker, the web server) inside the command, so `lab --help` stays quick.
"""
