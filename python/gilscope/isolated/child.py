"""The main module of every supervised process: ``python -P -m gilscope.isolated.child REQUEST ANSWER``.

Its top imports nothing, because the spawned workers of a process pool import the main module again.
"""

if __name__ == "__main__":
    import sys

    from gilscope.isolated.protocol import serve

    serve(*sys.argv[1:])
