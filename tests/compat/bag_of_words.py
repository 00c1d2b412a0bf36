"""Held-out accuracy of a bag of words as JSON: bag_of_words.py TRAIN.jsonl HELD_OUT.jsonl

TF-IDF of words and pairs of words, logistic regression: what texts give away without a language model.
"""

import json
import math
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def read(path):
    with open(path, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    return [record["text"] for record in records], [record["label"] for record in records]


texts, labels = read(sys.argv[1])
judged, right = read(sys.argv[2])
model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
model.fit(texts, labels)
n = len(right)
accuracy = sum(guess == label for guess, label in zip(model.predict(judged), right)) / n
# Wilson's interval at 95 %.
z = 1.96
middle = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
half = z * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n)) / (1 + z * z / n)
print(json.dumps({"n": n, "accuracy": accuracy, "interval": [middle - half, middle + half]}))
