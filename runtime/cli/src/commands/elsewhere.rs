//! How other programs take an adapter as it is, in their own lines.

use std::path::Path;

/// For whoever has just made `adapter` of `model`.
pub fn lines(model: &Path, adapter: &Path) -> String {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (model, adapter) = (word(&whole(model)), word(&whole(adapter)));
    format!(
        "  llama.cpp: llama-cli -m {model} --lora {adapter}\n  Ollama:    printf 'FROM %s\\nADAPTER %s\\n' {model} {adapter} > \
         Modelfile && ollama create NAME -f Modelfile"
    )
}

/// A path as a shell takes it.
fn word(path: &Path) -> String {
    let path = path.to_string_lossy();
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), |word| word.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_a_shell() {
        let lines = lines(Path::new("/m/my model.gguf"), Path::new("/a.gguf"));
        assert!(lines.contains("llama-cli -m '/m/my model.gguf' --lora /a.gguf\n"), "{lines}");
        assert!(
            lines.contains("printf 'FROM %s\\nADAPTER %s\\n' '/m/my model.gguf' /a.gguf > Modelfile"),
            "{lines}"
        );
    }
}
