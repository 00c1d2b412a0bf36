//! Chat templates of every family, rendered as jinja2 renders them with the settings that `transformers` gives it. The demo
//! model's is its own; the others have what the published ones of their families are made of: turns, roles that are renamed,
//! system messages that move, checks, and methods of Python's strings.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use serde_json::{Value, json};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::tokenizer::{Message, Tokenizer, TokenizerSource};
use sprig_testkit::model::real_model;
use sprig_tests::Stock;

/// ChatML with Qwen's care for what was thought and for tools.
const QWEN: &str = r#"{%- if messages[0].role == 'system' -%}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' -}}
{%- endif -%}
{%- set ns = namespace(last=messages|length - 1) -%}
{%- for message in messages[::-1] -%}
    {%- set index = (messages|length - 1) - loop.index0 -%}
    {%- if message.role == 'user' and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) and ns.last >= index -%}
        {%- set ns.last = index -%}
    {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) -%}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' -}}
    {%- elif message.role == 'assistant' -%}
        {%- set content = message.content -%}
        {%- if '</think>' in content -%}
            {%- set content = content.split('</think>')[-1].lstrip('\n') -%}
        {%- endif -%}
        {{- '<|im_start|>assistant\n' + content.rstrip() + '<|im_end|>\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\n' -}}
    {%- if enable_thinking is defined and enable_thinking is false -%}
        {{- '<think>\n\n</think>\n\n' -}}
    {%- endif -%}
{%- endif -%}
"#;

/// Llama 3's headers, with a date where none is given.
const LLAMA3: &str = r#"{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"#;

/// Gemma's turns: a system message comes before the first user's, the assistant is the model, and turns alternate.
const GEMMA: &str = r#"{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"#;

fn conversations() -> Vec<Vec<(&'static str, &'static str)>> {
    vec![
        vec![("user", "Are dogs real?")],
        vec![("system", " Be brief. "), ("user", "  {{ x }} <b>é</b>\n")],
        vec![("user", "1"), ("assistant", "<think>\nhm\n</think>\n\ntwo  "), ("user", "日本 🙂")],
        vec![("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
        vec![("user", "<tool_response>t</tool_response>"), ("assistant", ""), ("user", "")],
        vec![("assistant", "first"), ("user", "then")],
    ]
}

#[test]
#[ignore = "needs jinja2, which a stage of `cargo xtask test` fetches"]
fn chats_of_every_family_are_rendered_as_by_jinja2() {
    let model = Mapped::open(real_model()).unwrap();
    let gguf = Gguf::parse(model.bytes()).unwrap();
    let source = TokenizerSource::from_gguf(&gguf).unwrap();
    let own = source.chat_template.unwrap();
    let templates = [("SmolLM2", own), ("Qwen", QWEN), ("Llama 3", LLAMA3), ("Gemma", GEMMA)];
    let folder = tempfile::tempdir().unwrap();
    let [given, out] = ["given", "out"].map(|name| folder.path().join(name));
    let turns = |turns: &[(&str, &str)]| -> Value {
        turns.iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
    };
    let chats: Vec<Value> = conversations().iter().map(|chat| turns(chat)).collect();
    let [bos, eos] = [source.bos, source.eos].map(|id| source.tokens[id.unwrap() as usize]);
    let value = json!({
        "templates": templates.map(|(_, template)| template), "chats": chats, "bos_token": bos, "eos_token": eos
    });
    std::fs::write(&given, value.to_string()).unwrap();
    Stock::find().run("chats.py", &[&given, &out]);
    let theirs: Vec<Vec<[Option<String>; 2]>> =
        serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    for ((name, template), theirs) in templates.into_iter().zip(theirs) {
        let tokenizer =
            Tokenizer::new(TokenizerSource { chat_template: Some(template), ..source.clone() }).unwrap();
        let mut refused = 0;
        for (chat, theirs) in conversations().iter().zip(theirs) {
            let messages: Vec<Message<'_>> =
                chat.iter().map(|&(role, content)| Message { role, content }).collect();
            let ours = [false, true].map(|generation| tokenizer.chat(&messages, generation).ok());
            assert_eq!(ours, theirs, "{name}: {chat:?}");
            refused += usize::from(ours[0].is_none());
        }
        println!("{name}: {} conversations, {refused} of them refused by both", conversations().len());
        assert_eq!(refused, if name == "Gemma" { 1 } else { 0 });
    }
}
