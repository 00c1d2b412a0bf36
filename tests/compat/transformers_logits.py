"""Logits of transformers after every token, as f32 of the machine's order: tokens × vocabulary, into a file.

    transformers_logits.py MODEL --ids 504,3575,... --out FILE [--peft FOLDER]

MODEL is a GGUF file, whose tensors transformers itself reads; FOLDER an adapter for peft. Needs

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 gguf==0.19.0
"""

import argparse
import os

import torch
from transformers import AutoModelForCausalLM


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("model")
    args.add_argument("--ids", type=lambda s: [int(i) for i in s.split(",")], required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--peft")
    args = args.parse_args()

    folder, name = os.path.split(args.model)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    if args.peft is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, args.peft)
    with torch.no_grad():
        logits = model(torch.tensor([args.ids])).logits[0]
    with open(args.out, "wb") as out:
        out.write(logits.float().contiguous().numpy().tobytes())


main()
