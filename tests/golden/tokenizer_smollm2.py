"""Writes tokenizer-smollm2.json: ids of llama.cpp, checked against two further implementations.

    pip install xllamacpp gguf tiktoken regex jinja2 tokenizers
    M=SmolLM2-135M-Instruct.Q4_1.gguf
    for pre in gpt-2 llama-bpe; do gguf-new-metadata --pre-tokenizer $pre $M $pre.gguf; done
    python tokenizer_smollm2.py $M smollm2-reference.json gpt-2.gguf llama-bpe.gguf > tokenizer-smollm2.json

Reference: llama.cpp's own tokenizer, through the HTTP server that xllamacpp ships. Checks: tiktoken with the ranks
and pattern of the file, and the Python build of the `tokenizers` library, assembled the usual way. Texts on which they differ are
reported on stderr and marked in the file.
"""

import hashlib
import json
import logging
import sys
import urllib.request

import gguf
import jinja2.sandbox
import regex
import tiktoken
import tokenizers
import xllamacpp

from tokenizer_cases import chats, texts

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def byte_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def metadata(path):
    reader = gguf.GGUFReader(path)
    return {key: reader.fields[key].contents() for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges",
            "tokenizer.ggml.token_type", "tokenizer.chat_template")}


def with_tiktoken(meta):
    """Byte pairs by rank; the digits are split off here, since a look-ahead must not see past them."""
    alphabet = byte_alphabet()
    special = {t: i for i, (t, kind) in enumerate(zip(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"])) if kind == 3}
    ranks = {bytes(alphabet[c] for c in t): i for i, t in enumerate(meta["tokenizer.ggml.tokens"]) if t not in special}
    missing = [bytes([b]) for b in range(256) if bytes([b]) not in ranks]
    drop = {}
    for n, b in enumerate(missing):  # tiktoken wants every byte; these ids are removed again below
        ranks[b] = 1_000_000 + n
        drop[1_000_000 + n] = b
    core = tiktoken.Encoding("smollm2", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={})
    names = regex.compile("|".join(regex.escape(t) for t in sorted(special, key=len, reverse=True)))

    def plain(text):
        ids = []
        for piece in regex.split(r"(\p{N})", text):
            ids += [i for i in core.encode_ordinary(piece) if i not in drop]
        return ids

    def encode(text, parse):
        if not parse:
            return plain(text)
        ids, done = [], 0
        for found in names.finditer(text):
            ids += plain(text[done:found.start()]) + [special[found.group()]]
            done = found.end()
        return ids + plain(text[done:])

    return encode


def with_hugging_face(meta):
    tokens, merges = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.merges"]
    model = tokenizers.models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges])
    made = []
    for specials in (True, False):
        tk = tokenizers.Tokenizer(model)
        tk.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [tokenizers.pre_tokenizers.Digits(individual_digits=True), tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)])
        if specials:
            tk.add_special_tokens([t for t, kind in zip(tokens, meta["tokenizer.ggml.token_type"]) if kind == 3])
        made.append(tk)
    return lambda text, parse: made[0 if parse else 1].encode(text, add_special_tokens=False).ids


def serve(model):
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.verbosity = 256, 1, -1
    server = xllamacpp.Server(params)

    def post(path, body):
        request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request))

    return server, post


def other_rules(models):
    """llama.cpp's ids of the short texts under other splitting rules, the vocabulary being the same."""
    by_pre = {}
    for model in models:
        server, post = serve(model)
        pre = gguf.GGUFReader(model).fields["tokenizer.ggml.pre"].contents()
        by_pre[pre] = [{"text": text, "parse": False, "ids": post("/tokenize", {"content": text, "add_special": False, "parse_special": False})["tokens"]}
                       for text, parse in texts() if not parse and len(text) <= 60]
        del server
    return by_pre


def main(model, reference, *others):
    meta = metadata(model)
    server, post = serve(model)

    def llama(text, parse):
        return post("/tokenize", {"content": text, "add_special": False, "parse_special": parse})["tokens"]

    checks = {"tiktoken": with_tiktoken(meta), "tokenizers": with_hugging_face(meta)}
    cases = []
    for text, parse in texts():
        ids = llama(text, parse)
        case = {"text": text, "parse": parse, "ids": ids}
        for name, encode in checks.items():
            other = encode(text, parse)
            if other != ids:
                case.setdefault("others", {})[name] = other
                print(f"{name} differs on {text[:40]!r}: {other[:20]} against {ids[:20]}", file=sys.stderr)
        cases.append(case)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(meta["tokenizer.chat_template"])
    rendered = [{"messages": messages, "generation": generation, "text": template.render(messages=messages, add_generation_prompt=generation)}
                for messages in chats() for generation in (True, False)]
    # llama.cpp takes a last turn of the assistant as one to be continued, so only the others compare.
    for messages in [m for m in chats() if m and m[-1]["role"] == "user"]:
        theirs = post("/apply-template", {"messages": messages})["prompt"]
        ours = template.render(messages=messages, add_generation_prompt=True)
        if theirs != ours:
            print(f"llama.cpp's template differs: {theirs!r} against {ours!r}", file=sys.stderr)

    vectors = json.load(open(reference))["tokenizer"]
    with open(model, "rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    lines = ['"model_sha256": ' + json.dumps(digest),
             '"reference": ' + json.dumps(f"llama.cpp in xllamacpp {xllamacpp.__version__}; checked with tiktoken {tiktoken.__version__} and tokenizers {tokenizers.__version__}"),
             '"independent": [\n' + ",\n".join(json.dumps({"text": t, "parse": True, "ids": i}) for t, i in vectors) + "\n]",
             '"cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]",
             '"other_rules": {\n' + ",\n".join(json.dumps(pre) + ": [\n" + ",\n".join(map(json.dumps, made)) + "\n]" for pre, made in other_rules(others).items()) + "\n}",
             '"chats": [\n' + ",\n".join(json.dumps(c) for c in rendered) + "\n]"]
    print("{\n" + ",\n".join(lines) + "\n}")
    print(f"{len(cases)} cases, {sum('others' in c for c in cases)} disputed", file=sys.stderr)


if __name__ == "__main__":
    logging.disable()
    main(*sys.argv[1:])
