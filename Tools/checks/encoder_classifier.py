#!/usr/bin/env python3
"""Compare classifiers of texts with transformers: accuracy and loss of coppice evaluate, before and after compression.

    encoder_classifier.py .build/release/coppice [FOLDER]

Makes a BERT and a RoBERTa with random weights, their tokenizers, and labelled texts and pairs of texts (some too long, as
TSV, CSV and JSON lines). Each is measured by both sides as it is, and as several recipes leave it, where transformers and
coppice read what coppice convert makes of the folder. Ends with an error where a loss differs by more than 1e-4 or a
number of right answers at all, or where the folder itself, whose products with integers round activations, is off by 0.02.

Needs torch, transformers and tokenizers.
"""

import csv
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaTokenizerFast,
)

WORDS = "the a quick brown fox dog jump ##s ##ed over lazy good bad film was very not and or story plot ! , . '".split()
LABELS = ["negative", "neutral", "positive"]
SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, hidden_dropout_prob=0.0,
             attention_probs_dropout_prob=0.0, initializer_range=0.4,
             id2label=dict(enumerate(LABELS)), label2id={name: index for index, name in enumerate(LABELS)})
RECIPES = {
    "heads, neurons, layers": """
  - prune: { method: kl, granularity: layer, count: 1 }
  - prune: { method: wanda, granularity: head, sparsity: 0.5 }
  - prune: { method: taylor, granularity: neuron, sparsity: 0.25 }""",
    "2:4 and 8 bits": """
  - prune: { method: wanda, pattern: "2:4" }
  - quantize: { bits: 8 }""",
    "taylor and fine-tuning": """
  - prune: { method: taylor, scope: global, sparsity: 0.5, recovery: fine-tune }""",
    "rate and distortion": """
  - prune: { method: magnitude, allocation: rate-distortion, sparsity: 0.4, grid: 4, samples: 4 }""",
}


def sentence(generator):
    words = [word for word in WORDS if not word.startswith("##")]
    return " ".join(generator.choice(words) for _ in range(generator.choice([1, 4, 9, 20, 60])))


def make(folder, family):
    torch.manual_seed(3)
    if family == "bert":
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
        folder.mkdir(parents=True)
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
        tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=40)
        config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=40, **SIZES)
        model = BertForSequenceClassification(config)
    else:
        folder.mkdir(parents=True)
        trained = ByteLevelBPETokenizer()
        trained.train_from_iterator([" ".join(WORDS)] * 20, vocab_size=320, min_frequency=1,
                                    special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        trained.save_model(str(folder))
        tokenizer = RobertaTokenizerFast.from_pretrained(str(folder), model_max_length=40)
        config = RobertaConfig(vocab_size=trained.get_vocab_size(), max_position_embeddings=42, type_vocab_size=1,
                               layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2, **SIZES)
        model = RobertaForSequenceClassification(config)
    tokenizer.save_pretrained(folder)
    model.eval().save_pretrained(folder)


def write(path, rows):
    names = list(rows[0])
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [names] + [r.values() for r in rows]))


def reference(folder, rows):
    model = AutoModelForSequenceClassification.from_pretrained(folder).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [name for name in rows[0] if name != "label"]
    (loss, correct) = (0.0, 0)
    for row in rows:
        encoded = tokenizer(*(row[name] for name in texts), truncation=True, max_length=40, return_tensors="pt")
        label = LABELS.index(row["label"]) if row["label"] in LABELS else int(row["label"])
        with torch.no_grad():
            logits = model(**encoded).logits[0].double()
        loss -= torch.log_softmax(logits, 0)[label].item()
        correct += int(logits.argmax().item() == label)
    return loss / len(rows), correct


def main():
    program = sys.argv[1]
    base = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())

    def coppice(*arguments):
        run = subprocess.run([program, *map(str, arguments), "--json"], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"coppice {' '.join(map(str, arguments))}\n{run.stderr}")
        return json.loads(run.stdout)

    generator = random.Random(1)
    worst = 0.0
    for family in ["bert", "roberta"]:
        folder = base / family
        make(folder, family)
        files = {
            "single.tsv": [dict(sentence=sentence(generator), label=generator.randrange(3)) for _ in range(60)],
            "pairs.csv": [dict(premise=sentence(generator) + ', "so"', hypothesis=sentence(generator),
                               label=generator.choice(LABELS)) for _ in range(60)],
            "pairs.jsonl": [dict(sentence1=sentence(generator), sentence2=sentence(generator),
                                 label=generator.randrange(3)) for _ in range(60)],
        }
        for name, rows in files.items():
            write(base / f"{family}-{name}", rows)

        def compare(title, model, dense):
            nonlocal worst
            for name, rows in files.items():
                own = coppice("evaluate", dense, "--labelled", base / f"{family}-{name}")
                stored = coppice("evaluate", model, "--labelled", base / f"{family}-{name}")["loss"]
                loss, correct = reference(dense, rows)
                worst = max(worst, abs(own["loss"] - loss))
                print(f"{family:8} {title:24} {name:12} loss {own['loss']:.6f} {loss:.6f} ({stored:.6f})  "
                      f"right {own['correct']} {correct} of {own['count']}, {own['truncated']} cut")
                if own["correct"] != correct or abs(own["loss"] - loss) > 1e-4 or abs(stored - loss) > 0.02:
                    sys.exit("they differ")

        compare("dense", folder, folder)
        for index, (title, stages) in enumerate(RECIPES.items()):
            recipe = base / "recipe.yaml"
            recipe.write_text("calibration: { samples: 16, sequence_length: 40 }\ntraining: { epochs: 1 }\nstages:" + stages)
            (small, dense) = (base / f"{family}-{index}", base / f"{family}-{index}-dense")
            coppice("compress", folder, "--recipe", recipe, "--output", small, "--calibration",
                    base / f"{family}-pairs.csv", "--evaluate", base / f"{family}-single.tsv")
            coppice("convert", small, "--output", dense)
            compare(title, small, dense)
    print(f"largest difference of losses {worst:.1e}")


if __name__ == "__main__":
    main()
