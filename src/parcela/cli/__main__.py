"""``python -m parcela.cli``: the ``parcela`` command where its script is not on the PATH."""

from parcela.cli.app import main

if __name__ == "__main__":
    main()
