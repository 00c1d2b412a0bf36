"""OpenAI's own client at `sprig serve`: chats and texts, whole and in pieces, and what is refused.

    pip install openai==3.57.0

Arguments: the address (http://127.0.0.1:8080/v1), the name of the model, and that of an adapter with labels. Prints what
was seen as one JSON object, or ends with what did not hold.
"""

import json
import math
import socket
import sys
import threading
import time
import urllib.parse

import httpx2 as httpx
import openai

base, model, labels = sys.argv[1:4]
client = openai.OpenAI(base_url=base, api_key="none", timeout=300, max_retries=0)
root = base.removesuffix("/v1")
seen = {}


def ask(text="Name three birds.", **more):
    more.setdefault("max_tokens", 24)
    more.setdefault("model", model)
    return client.chat.completions.create(messages=[{"role": "user", "content": text}], **more)


def check(holds, *said):
    if not holds:
        raise SystemExit(f"does not hold: {said}")


def refused(status, param, call):
    try:
        call()
    except openai.APIStatusError as error:
        body = error.body or {}
        check(error.status_code == status, error.status_code, status, body)
        check(param is None or body.get("param") == param, body, param)
        check(body.get("message"), body)
        return body
    raise SystemExit(f"not refused: {status} {param}")


def metric(name):
    text = httpx.get(f"{root}/metrics").raise_for_status().text
    check(text.endswith("# EOF\n"), text)
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


def models():
    listed = [one.id for one in client.models.list()]
    check(model in listed and labels in listed, listed)
    check(client.models.retrieve(model).id == model)
    refused(404, "model", lambda: client.models.retrieve("nobody"))
    refused(404, "model", lambda: ask(model="nobody"))
    seen["models"] = listed


def whole_and_in_pieces():
    whole = ask()
    text, choice, usage = whole.choices[0].message.content, whole.choices[0], whole.usage
    check(text and choice.message.role == "assistant", whole)
    check(choice.finish_reason in ("stop", "length"), whole)
    check(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage)
    check(ask().choices[0].message.content == text, "greedy answers differ")
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    check("".join(piece.delta.content or "" for piece in pieces) == text, chunks, text)
    check(pieces[0].delta.role == "assistant" and pieces[-1].finish_reason == choice.finish_reason, pieces)
    check(len(pieces) > 4, "it came in one piece", len(pieces))
    check(chunks[-1].usage == usage and all(chunk.usage is None for chunk in chunks[:-1]), chunks[-1])
    short = ask(max_completion_tokens=3, max_tokens=None)
    check((short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 3), short)
    with httpx.stream("POST", f"{base}/chat/completions", timeout=300, json={
        "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "stream": True}) as raw:
        check(raw.headers["content-type"] == "text/event-stream", raw.headers)
        check("".join(raw.iter_text()).endswith("data: [DONE]\n\n"))
    seen["answer"] = text
    return text


def stops_and_seeds(text):
    word = text.split()[1]
    stopped = ask(stop=["nowhere to be found", word])
    check(stopped.choices[0].message.content == text[: text.index(word)], stopped, text)
    check(stopped.choices[0].finish_reason == "stop", stopped)
    pieces = ask(stop=word, stream=True)
    check("".join(chunk.choices[0].delta.content or "" for chunk in pieces) == text[: text.index(word)])
    drawn = lambda **more: ask(temperature=1.2, **more).choices[0].message.content
    check(drawn(seed=7) == drawn(seed=7), "a seed does not fix what is drawn")
    check(len({drawn(seed=seed) for seed in range(3)}) > 1, "seeds draw the same")
    check(len({drawn() for _ in range(3)}) > 1, "without a seed the same is drawn")
    check(drawn(seed=1, top_p=1e-6) == text, "the narrowest draw is not the likeliest")
    check(ask(temperature=1.2, extra_body={"top_k": 1}).choices[0].message.content == text)


def logprobs(text):
    told = ask(logprobs=True, top_logprobs=3).choices[0].logprobs.content
    check(b"".join(bytes(one.bytes) for one in told).decode() == text, told, text)
    for one in told:
        tops = [top.logprob for top in one.top_logprobs]
        check(len(tops) == 3 and tops == sorted(tops, reverse=True), one)
        check(sum(map(math.exp, tops)) <= 1 + 1e-5 and one.top_logprobs[0].token == one.token, one)
    pieces = [chunk.choices[0] for chunk in ask(logprobs=True, stream=True)]
    streamed = [one.logprob for piece in pieces if piece.logprobs for one in piece.logprobs.content]
    check(streamed == [one.logprob for one in told], streamed, told)
    plain = client.completions.create(model=model, prompt="One, two, three,", max_tokens=6, logprobs=2)
    choice = plain.choices[0]
    check("".join(choice.logprobs.tokens) == choice.text, choice)
    check(choice.logprobs.text_offset[0] == 0 and len(choice.logprobs.top_logprobs) == 6, choice)
    pieces = client.completions.create(model=model, prompt="One, two, three,", max_tokens=6, stream=True)
    check("".join(chunk.choices[0].text for chunk in pieces) == choice.text)
    seen["completion"] = choice.text


def refusals():
    refused(400, "n", lambda: ask(n=2))
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    refused(400, "tools", lambda: ask(tools=[tool]))
    refused(400, "response_format", lambda: ask(response_format={"type": "json_object"}))
    refused(400, "temperature", lambda: ask(temperature=-1))
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    refused(400, "messages[0].content[0].type", lambda: ask(image))
    refused(400, None, lambda: ask("word " * 3000))["code"] == "context_length_exceeded" or check(False)
    refused(413, None, lambda: ask("x" * 70_000))
    for status, body in [(400, b"{"), (400, b"[]"), (400, b"\xff\xfe"), (400, b'{"messages":' + b"[" * 200)]:
        found = httpx.post(f"{base}/chat/completions", content=body, headers={"content-type": "application/json"})
        check(found.status_code == status and found.json()["error"]["type"] == "invalid_request_error", found.text)
    check(httpx.get(f"{base}/nothing").json()["error"]["message"])
    check(httpx.get(f"{base}/completions").status_code == 405)


def classes():
    found = httpx.post(f"{base}/classify", json={"model": labels, "text": "the battery lasts two days"}, timeout=300).json()
    shares = [one["share"] for one in found["shares"]]
    check(abs(sum(shares) - 1) < 1e-6 and shares == sorted(shares, reverse=True), found)
    check(found["label"] == found["shares"][0]["label"] and found["model"] == labels, found)
    plain = httpx.post(f"{base}/classify", json={"model": model, "text": "a"})
    check(plain.status_code == 400 and "no labels" in plain.json()["error"]["message"], plain.text)
    seen["label"] = found["label"]
    # The adapter changes what is written, and its absence changes it back.
    one, other = [client.completions.create(model=name, prompt="the battery lasts two days\n", max_tokens=8).choices[0].text for name in (labels, model)]
    check(one != other, "the adapter changes nothing", one)


def sent(body):
    """A connection that asked, and has read nothing."""
    where = urllib.parse.urlparse(base)
    raw = json.dumps(body).encode()
    stream = socket.create_connection((where.hostname, where.port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    stream.sendall(head.encode() + raw)
    return stream


def many():
    body = {"messages": [{"role": "user", "content": "Tell a long story."}], "max_tokens": 60, "stream": True}
    slow = sent(body)
    answers, begun = [None] * 10, time.time()

    def one(place):
        answers[place] = ask(stream=place % 2 == 1)
        if place % 2 == 1:
            answers[place] = "".join(chunk.choices[0].delta.content or "" for chunk in answers[place])
        else:
            answers[place] = answers[place].choices[0].message.content

    threads = [threading.Thread(target=one, args=(place,)) for place in range(10)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    check(len(set(answers)) == 1 and answers[0], answers)
    seen["ten_clients_s"] = round(time.time() - begun, 2)
    slow.close()


def leaving():
    left = metric('sprig_questions_total{outcome="left"}')
    body = {"messages": [{"role": "user", "content": "Tell a very long story."}], "max_tokens": 600, "stream": True}
    gone = sent(body)
    check(b"200 OK" in gone.recv(4096))
    gone.close()
    silent = sent({**body, "stream": False})
    time.sleep(0.3)
    silent.close()
    begun = time.time()
    ask(max_tokens=1)
    seen["after_two_left_s"] = round(time.time() - begun, 2)
    check(metric('sprig_questions_total{outcome="left"}') == left + 2, "nobody left")
    check(metric("sprig_completion_tokens_total") > 0)


models()
answer = whole_and_in_pieces()
stops_and_seeds(answer)
logprobs(answer)
refusals()
classes()
many()
leaving()
seen["peak_bytes"], seen["budget_bytes"] = metric("sprig_peak_resident_bytes"), metric("sprig_budget_bytes")
check(seen["peak_bytes"] <= seen["budget_bytes"], seen)
print(json.dumps(seen))
