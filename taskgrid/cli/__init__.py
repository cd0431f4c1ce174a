"""The command line: parse, one call, render.

The only room that knows typer. Each command imports what it needs when it runs, so that help answers
at once. stdout is data, stderr is talk; the exit status comes from the error's code.
"""
