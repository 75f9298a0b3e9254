#!/bin/sh
# DuckDB: a column over several Parquet files has the type that it has in the first one. Where that holds whole numbers,
# the fractions of all the others are rounded without a word; union_by_name=true keeps them. (pyarrow refuses.)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q duckdb==1.4.1 pyarrow==21.0.0 2>/dev/null
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
import duckdb, pyarrow as pa, pyarrow.dataset, pyarrow.parquet as pq

folder = sys.argv[1]
print("duckdb", duckdb.__version__, "pyarrow", pa.__version__)
pq.write_table(pa.table({"a": [1, 2]}), f"{folder}/part-1.parquet")
pq.write_table(pa.table({"a": [0.4, 2.6]}), f"{folder}/part-2.parquet")
parts = f"'{folder}/part-*.parquet'"
plain = sorted(row[0] for row in duckdb.sql(f"select a from {parts}").fetchall())
named = sorted(row[0] for row in duckdb.sql(f"select a from read_parquet({parts}, union_by_name=true)").fetchall())
print("written 1, 2 and 0.4, 2.6; read", plain, "and with union_by_name", named)
try:
    refused = f"read {pyarrow.dataset.dataset([f'{folder}/part-{k}.parquet' for k in (1, 2)]).to_table()['a'].to_pylist()}"
except pa.ArrowInvalid as error:
    refused = f"refused: {str(error).splitlines()[0]}"
print("pyarrow.dataset", refused)
holds = plain == [0, 1, 2, 3] and named == [0.4, 1.0, 2.0, 2.6]
print("as described:", holds)
sys.exit(not holds)
PY
