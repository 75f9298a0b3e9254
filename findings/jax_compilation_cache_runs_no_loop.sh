#!/bin/sh
# jax 0.6.0 on a CPU: a program with a loop that comes out of the persistent compilation cache gives its initial state
# back. The first process, which compiles, is right; the second one, which reads, is wrong and says nothing. Seen with
# 0.5.1, 0.5.3 and 0.6.0; 0.5.0 and 0.6.1 are right in both.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/loop.py" <<'PY'
import sys
import jax, jaxlib, numpy as np

jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
start = np.linspace(-2.0, 2.0, 4096, dtype=np.float32).reshape(64, 64)
step = lambda _, value: 0.01 + 0.5 * jax.numpy.arctan(value)
halve = jax.jit(lambda state, steps: jax.lax.fori_loop(0, steps, step, state))
got = np.asarray(halve(start, np.int32(2)))
want = start
for _ in range(2):
    want = 0.01 + 0.5 * np.arctan(want)
right, unchanged = bool(np.allclose(got, want, atol=1e-5)), bool(np.array_equal(got, start))
print(f"jax {jax.__version__} jaxlib {jaxlib.__version__}: two steps of a loop are right: {right};", end=" ")
print(f"the state came back unchanged: {unchanged}")
sys.exit(0 if right else 3 if unchanged else 4)
PY
outcomes=
for version in 0.6.0 0.6.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "jax==$version" "jaxlib==$version" "numpy==2.2.6"
    for process in first second; do
        code=0
        echo "$process process"
        "$folder/$version/bin/python" "$folder/loop.py" "$folder/cache-$version" || code=$?
        outcomes="$outcomes $code"
    done
done
echo "exit codes of first and second process with 0.6.0, then with 0.6.1:$outcomes (expected 0 3 0 0)"
[ "$outcomes" = " 0 3 0 0" ]
