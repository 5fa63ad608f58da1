"""Writes tfidf.h: the products of TF-IDF rows with each other, as scikit-learn
makes them, which need no names of terms.

Needs numpy and scikit-learn.  Run as
    python3 tests/golden/make_tfidf.py > tests/golden/tfidf.h
"""
import json

from sklearn.feature_extraction.text import TfidfVectorizer

TEXTS = [
    "Free entry in 2 a wkly comp to win FA Cup final tkts 21st May 2005!",
    "free FREE free: win win the cup, the Cup",
    "the the the the entry",
    "Übermut und ÄRGER, übermut",
    "보고 싶은 영화 영화, 보고",
    "x y z",
    "",
    "win a cup? WIN!! ärger under_score 2005",
]


def table(name, vectorizer):
    rows = vectorizer.fit_transform(TEXTS)
    products = (rows @ rows.T).toarray()
    print(f"static const double {name}[TFIDF_TEXTS][TFIDF_TEXTS] = {{")
    for row in products:
        print("    {" + ", ".join(repr(float(x)) for x in row) + "},")
    print("};\n")
    print(f"enum {{ {name.upper()}_TERMS = {rows.shape[1]} }};\n")


def main():
    print("/* Made by make_tfidf.py; see there. */\n")
    print(f"enum {{ TFIDF_TEXTS = {len(TEXTS)} }};\n")
    print("static const char *const tfidf_texts[TFIDF_TEXTS] = {")
    for text in TEXTS:
        print("    " + json.dumps(text, ensure_ascii=False) + ",")
    print("};\n")
    table("tfidf_words", TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)))
    table("tfidf_common", TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2))
    table("tfidf_runs", TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 4)))


main()
