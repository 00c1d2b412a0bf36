"""Logits of transformers after every token, as f32 of the machine's order: tokens × vocabulary, into a file.

    transformers_logits.py MODEL --ids 504,3575,... --out FILE [--peft FOLDER]

MODEL is a GGUF file, whose tensors transformers itself reads; FOLDER an adapter for peft. Needs

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 gguf==0.19.0
"""

import argparse
import os

import torch
from gguf import GGUFReader
from transformers import AutoConfig, AutoModelForCausalLM


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("model")
    args.add_argument("--ids", type=lambda s: [int(i) for i in s.split(",")], required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--peft")
    args = args.parse_args()

    folder, name = os.path.split(args.model)
    file = GGUFReader(args.model)
    config = AutoConfig.from_pretrained(folder, gguf_file=name)
    for key, field in file.fields.items():
        # The width of a head where it is one of its own, which transformers does not read from all families' files.
        if key.endswith(".attention.key_length"):
            config.head_dim = int(field.parts[field.data[0]][0])
            # Gemma's queries are scaled by it; transformers takes the 256 of all published ones.
            if hasattr(config, "query_pre_attn_scalar"):
                config.query_pre_attn_scalar = config.head_dim
        # Which of Gemma's blocks see all of a text: transformers takes every sixth, as in all published ones.
        if key.endswith(".attention.sliding_window_pattern"):
            every = int(field.parts[field.data[0]][0])
            kinds = ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(config.num_hidden_layers)]
            config.layer_types = kinds
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, config=config, dtype=torch.float32)
    for tensor in file.tensors:
        # Llama 3's factors of the rotary frequencies, which transformers does not read from GGUF files.
        if tensor.name == "rope_freqs.weight":
            model.model.rotary_emb.inv_freq /= torch.tensor(tensor.data)
    if args.peft is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, args.peft)
    with torch.no_grad():
        logits = model(torch.tensor([args.ids])).logits[0]
    with open(args.out, "wb") as out:
        out.write(logits.float().contiguous().numpy().tobytes())


main()
