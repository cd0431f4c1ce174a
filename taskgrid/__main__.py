"""`python -m taskgrid` is `taskgrid`: how programs start masters and workers of their own interpreter."""

from taskgrid.cli.main import main

if __name__ == "__main__":
    main()
