import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension EncoderSparsityMeasurement {
    /// The numbers behind the claims.
    package var json: JSON {
        func curves(_ report: SparsityReport?) -> JSON { report?.curvesJSON ?? .null }
        func pretraining(_ pretraining: EncoderPretraining) -> JSON {
            .object([
                "checkpoints": .array(
                    pretraining.checkpoints.map { checkpoint in
                        .object([
                            "step": .integer(checkpoint.step),
                            "near_zero": .array(checkpoint.nearZero.map { .number($0) }),
                            "tolerance_point": checkpoint.tolerancePoint.map { .number($0) } ?? .null,
                        ])
                    }), "zero_shot": curves(pretraining.sweep),
                "accuracy": pretraining.accuracy.map { .number($0) } ?? .null,
            ])
        }
        func byKind(_ value: (EncoderPretraining.Kind) -> JSON) -> JSON {
            .object(
                OrderedDictionary(EncoderPretraining.Kind.allCases.map { ($0.rawValue, value($0)) }) { first, _ in first
                })
        }
        return .object([
            "protocol": "fine-tune",
            "seeds": .array(
                trials.map { trial in
                    .object([
                        "seed": .integer(Int(truncatingIfNeeded: trial.seed)),
                        "pretrainings": byKind { trial.pretrainings[$0].map(pretraining) ?? .null },
                        "fine_tuned": curves(trial.tuned), "initial_weights": curves(trial.fresh),
                        "initial_weights_trained": curves(trial.freshTrained),
                        "fine_tuned_others": byKind { curves(trial.tunedOthers[$0]) },
                        "iterative": .array(
                            trial.iterative.map { level in
                                .object([
                                    "sparsity": .number(level.sparsity), "error": .number(level.error),
                                    "cosine": .number(level.agreement.cosine),
                                    "jaccard": .number(level.agreement.jaccard),
                                    "hamming": .number(level.agreement.hammingDistance),
                                ])
                            }),
                    ])
                }),
        ])
    }
}
