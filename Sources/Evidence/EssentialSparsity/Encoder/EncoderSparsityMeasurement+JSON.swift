import CoppiceCompression
import CoppiceModels

extension EncoderSparsityMeasurement {
    /// The numbers behind the claims.
    package var json: JSON {
        func curves(_ report: SparsityReport?) -> JSON { report?.curvesJSON ?? .null }
        func pretraining(_ pretraining: EncoderPretraining) -> JSON {
            .object([
                "checkpoints": pretraining.checkpoints.json, "zero_shot": curves(pretraining.sweep),
                "accuracy": pretraining.accuracy.map { .number($0) } ?? .null,
            ])
        }
        typealias Kind = EncoderPretraining.Kind
        return .object([
            "protocol": "fine-tune",
            "seeds": .array(
                trials.map { trial in
                    .object([
                        "seed": .integer(Int(truncatingIfNeeded: trial.seed)),
                        "pretrainings": .byCase { (kind: Kind) in trial.pretrainings[kind].map(pretraining) ?? .null },
                        "fine_tuned": curves(trial.tuned), "initial_weights": curves(trial.fresh),
                        "initial_weights_trained": curves(trial.freshTrained),
                        "fine_tuned_others": .byCase { (kind: Kind) in curves(trial.tunedOthers[kind]) },
                        "iterative": trial.iterative.json,
                    ])
                }),
        ])
    }
}
