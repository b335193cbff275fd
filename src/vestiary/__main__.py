"""``python -m vestiary``: the command line."""

from vestiary.cli.main import main

if __name__ == "__main__":
    main()
