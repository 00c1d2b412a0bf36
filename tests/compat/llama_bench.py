"""Prefill and decode speed of stock llama.cpp on a GGUF file, as JSON: llama_bench.py MODEL [THREADS [REPEATS]]."""

import json
import statistics
import sys
import time

from stock import VERSION, context, ffi, lib, load

PREFILL, DECODE = 512, 64

threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 5
model = load(sys.argv[1])
state = context(model, PREFILL, threads)
vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
tokens = ffi.new("llama_token[]", [i * 7919 % vocabulary for i in range(PREFILL)])


def timed(calls):
    """Seconds for feeding `calls` (slices of `tokens`) to an empty context."""
    lib.llama_memory_clear(lib.llama_get_memory(state), True)
    start = time.perf_counter()
    for offset, count in calls:
        if lib.llama_decode(state, lib.llama_batch_get_one(tokens + offset, count)) != 0:
            sys.exit("llama_decode failed")
    lib.llama_synchronize(state)
    return time.perf_counter() - start


timed([(0, PREFILL)])
prefill = statistics.median(timed([(0, PREFILL)]) for _ in range(repeats))
decode = statistics.median(timed([(i, 1) for i in range(DECODE)]) for _ in range(repeats))
print(
    json.dumps(
        {
            "llama_cpp": VERSION,
            "system": ffi.string(lib.llama_print_system_info()).decode(),
            "threads": threads,
            "prefill_tokens_per_s": PREFILL / prefill,
            "decode_tokens_per_s": DECODE / decode,
        }
    )
)
