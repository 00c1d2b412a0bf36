//! `synthetic GEOMETRY FILE`: a random-weight model, for `cargo xtask model --synthetic`. An example, so that
//! the other commands do not wait for the engine to be compiled.

use sprig_engine::gguf::{Synthetic, SyntheticFamily};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [geometry, file] = arguments.as_slice() else {
        return Err(
            "usage: synthetic tiny|llama3|qwen2|qwen3|gemma3|smollm2-360m|qwen2.5-0.5b|tinyllama|llama-2-7b FILE"
                .into(),
        );
    };
    let model = match geometry.as_str() {
        "tiny" => Synthetic::tiny(),
        "llama3" => Synthetic::tiny_of(SyntheticFamily::Llama3),
        "qwen2" => Synthetic::tiny_of(SyntheticFamily::Qwen2),
        "qwen3" => Synthetic::tiny_of(SyntheticFamily::Qwen3),
        "gemma3" => Synthetic::tiny_of(SyntheticFamily::Gemma3),
        // The types of the demo's model.
        "smollm2-360m" => Synthetic {
            blocks: 32,
            width: 960,
            ffn: 2560,
            heads: 15,
            kv_heads: 5,
            vocab: 49_152,
            context: 8192,
            ..Synthetic::tiny()
        },
        "qwen2.5-0.5b" => Synthetic {
            family: SyntheticFamily::Qwen2,
            rope_base: 1_000_000.0,
            blocks: 24,
            width: 896,
            ffn: 4864,
            heads: 14,
            kv_heads: 2,
            vocab: 151_936,
            context: 32_768,
            tied: true,
            ..Synthetic::llama_2_7b()
        },
        "tinyllama" => Synthetic {
            blocks: 22,
            width: 2048,
            ffn: 5632,
            heads: 32,
            kv_heads: 4,
            context: 2048,
            ..Synthetic::llama_2_7b()
        },
        "llama-2-7b" => Synthetic::llama_2_7b(),
        other => return Err(format!("no geometry is called {other:?}").into()),
    };
    model.write_atomic(file)?;
    Ok(())
}
