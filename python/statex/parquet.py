"""Documents of Parquet files as JSON lines: ``python3 -m statex.parquet FILE... | statex data tokenize - ...``.

Needs ``pyarrow``, which Hugging Face's ``datasets`` brings along. Rows are read in batches, so memory stays
bounded whatever the files hold. A row whose column is null is written as it is, for ``--skip-bad`` to count.
"""

import argparse
import json
import sys

__all__ = ["main"]


def main(arguments=None) -> int:
    """Write one column of every row as ``{"COLUMN": text}``, in the order of the files and their rows."""
    parser = argparse.ArgumentParser(prog="python3 -m statex.parquet", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="Parquet files, in order")
    parser.add_argument("--column", default="text", help="the column that holds the text (default: text)")
    options = parser.parse_args(arguments)
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        print("error: reading Parquet needs pyarrow: pip install pyarrow", file=sys.stderr)
        return 64
    # A lone newline in a document is escaped by JSON, so a line is a document.
    write = sys.stdout.write
    for path in options.files:
        try:
            file = pyarrow.parquet.ParquetFile(path)
            if options.column not in file.schema_arrow.names:
                print(f"error: {path}: column: has no '{options.column}', only "
                      f"{', '.join(file.schema_arrow.names)}", file=sys.stderr)
                return 65
            for batch in file.iter_batches(batch_size=1024, columns=[options.column]):
                for text in batch.column(0).to_pylist():
                    write(json.dumps({options.column: text}, ensure_ascii=False) + "\n")
        except BrokenPipeError:
            return 74
        except OSError as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            return 74
        except pyarrow.ArrowException as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            return 65
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
