"""Milliseconds of a training step of SmolLM2-135M's geometry in PyTorch, f32, as JSON:

    torch_step.py [--batch 8] [--len 64] [--threads 2] [--repeats 1]

LoRA of rank 8 on q and v of all blocks, language-model loss over all tokens. Weights are random: time does not depend on them.
A directional derivative (forward mode), four in a loop, and backprop with and without a checkpoint at each block.
"""

import argparse
import json
import statistics
import time

import torch
import torch.autograd.forward_ad as fwad
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

WIDTH, FFN, HEADS, KV_HEADS, HEAD, BLOCKS, VOCABULARY, RANK, SCALE = 576, 1536, 9, 3, 64, 30, 49152, 8, 2.0


def weight(rows, columns):
    return torch.randn(rows, columns) * columns**-0.5


def norm(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def turn(x, cos, sin):
    half = HEAD // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class Block:
    def __init__(self):
        self.q, self.o = weight(WIDTH, WIDTH), weight(WIDTH, WIDTH)
        self.k, self.v = weight(KV_HEADS * HEAD, WIDTH), weight(KV_HEADS * HEAD, WIDTH)
        self.gate, self.up, self.down = weight(FFN, WIDTH), weight(FFN, WIDTH), weight(WIDTH, FFN)
        # A and B of q, then of v.
        self.trained = [weight(RANK, WIDTH), torch.zeros(WIDTH, RANK), weight(RANK, WIDTH), torch.zeros(KV_HEADS * HEAD, RANK)]

    def __call__(self, x, trained, where):
        batch, length, _ = x.shape
        qa, qb, va, vb = trained
        cos, sin, causal = where
        h = norm(x)
        split = lambda y, heads: y.view(batch, length, heads, HEAD).transpose(1, 2)
        q = turn(split(h @ self.q.T + SCALE * (h @ qa.T) @ qb.T, HEADS), cos, sin)
        k = turn(split(h @ self.k.T, KV_HEADS), cos, sin).repeat_interleave(HEADS // KV_HEADS, dim=1)
        v = split(h @ self.v.T + SCALE * (h @ va.T) @ vb.T, KV_HEADS).repeat_interleave(HEADS // KV_HEADS, dim=1)
        scores = q @ k.transpose(-1, -2) * HEAD**-0.5 + causal
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, WIDTH)
        x = x + mixed @ self.o.T
        h = norm(x)
        return x + (F.silu(h @ self.gate.T) * (h @ self.up.T)) @ self.down.T


class Model:
    def __init__(self, length):
        self.embedding = weight(VOCABULARY, WIDTH)
        self.blocks = [Block() for _ in range(BLOCKS)]
        angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(0, HEAD, 2) / HEAD)).repeat(1, 2)
        causal = torch.full((length, length), float("-inf")).triu(1)
        self.where = (angles.cos(), angles.sin(), causal)

    def trained(self):
        return [block.trained for block in self.blocks]

    def loss(self, tokens, trained, checkpointed=False):
        x = self.embedding[tokens]
        for block, own in zip(self.blocks, trained):
            x = checkpoint(block, x, own, self.where, use_reentrant=False) if checkpointed else block(x, own, self.where)
        logits = norm(x[:, :-1]) @ self.embedding.T
        return F.cross_entropy(logits.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1))


def derivative(model, tokens):
    with torch.no_grad(), fwad.dual_level():
        dual = [[fwad.make_dual(t, torch.randn_like(t)) for t in own] for own in model.trained()]
        return fwad.unpack_dual(model.loss(tokens, dual)).tangent.item()


def gradient(model, tokens, checkpointed):
    trained = [[t.clone().requires_grad_() for t in own] for own in model.trained()]
    model.loss(tokens, trained, checkpointed).backward()
    return [t.grad for own in trained for t in own]


def timed(work, repeats):
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--len", type=int, default=64)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--repeats", type=int, default=1)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = Model(args.len)
    tokens = torch.randint(VOCABULARY, (args.batch, args.len))
    one = lambda: derivative(model, tokens)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "jvp_ms": timed(one, args.repeats),
                "four_jvp_ms": timed(lambda: [one() for _ in range(4)], args.repeats),
                "checkpointed_ms": timed(lambda: gradient(model, tokens, True), args.repeats),
                "backprop_ms": timed(lambda: gradient(model, tokens, False), args.repeats),
            }
        )
    )


main()
