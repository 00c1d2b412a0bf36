"""Stock llama.cpp through its C interface: `ffi` and `lib`.

    pip install xllamacpp==2026.10.11549 llama-cpp-py-sync==0.11548 tokenizers==0.23.3 sentencepiece==0.2.3 jinja2==3.1.6

The first wheel carries llama.cpp b11549 with its C symbols exported, for glibc 2.17 and later; the second carries the
C declarations of b11548 (its own library asks for glibc 2.38, which Debian 12 has not). The others are for tokens.py and
chats.py.
"""

import importlib.util
import pathlib
import sys

from llama_cpp_py_sync._cffi_bindings import get_ffi

VERSION = "b11549"
ffi = get_ffi()
_package = pathlib.Path(importlib.util.find_spec("xllamacpp").origin).parent
lib = ffi.dlopen(str(next(_package.glob("xllamacpp*.so"))))
lib.llama_backend_init()


@ffi.callback("void(enum ggml_log_level, const char *, void *)")
def _errors_only(level, text, _):
    if level == 4:  # GGML_LOG_LEVEL_ERROR
        print(ffi.string(text).decode(errors="replace"), end="", file=sys.stderr)


lib.llama_log_set(_errors_only, ffi.NULL)


def load(path):
    """The model in a GGUF file."""
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    if model == ffi.NULL:
        raise SystemExit(f"llama.cpp cannot load {path}")
    return model


def context(model, tokens, threads=2, exact=False):
    """A context for `tokens` tokens, fed in one batch; an `exact` one keeps keys and values in f32."""
    params = lib.llama_context_default_params()
    if exact:
        params.type_k = params.type_v = lib.GGML_TYPE_F32
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.n_ctx = params.n_batch = params.n_ubatch = max(tokens, 32)
    params.n_threads = params.n_threads_batch = threads
    made = lib.llama_init_from_model(model, params)
    if made == ffi.NULL:
        raise SystemExit("llama.cpp cannot make a context")
    return made


def tokenise(model, text, around=True):
    """The tokens of a text, with those that the model wants around it or without."""
    raw = text.encode()
    tokens = ffi.new("llama_token[]", len(raw) + 8)
    count = lib.llama_tokenize(lib.llama_model_get_vocab(model), raw, len(raw), tokens, len(tokens), around, True)
    if count < 0:
        raise SystemExit(f"tokenise failed: {count}")
    return list(tokens[0:count])


def attach(state, model, path, scale=1.0):
    """Has a context answer with the adapter in a GGUF file, times `scale`."""
    adapter = lib.llama_adapter_lora_init(model, path.encode())
    if adapter == ffi.NULL:
        raise SystemExit(f"llama.cpp refuses the adapter {path}")
    adapters, scales = ffi.new("struct llama_adapter_lora *[]", [adapter]), ffi.new("float[]", [scale])
    code = lib.llama_set_adapters_lora(state, adapters, 1, scales)
    if code != 0:
        raise SystemExit(f"llama_set_adapters_lora failed: {code}")
