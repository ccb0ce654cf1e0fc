import CoppiceCompression
import CoppiceModels

extension VisionSparsityMeasurement {
    /// The numbers behind the claims.
    package var json: JSON {
        func pretraining(_ pretraining: VisionPretraining) -> JSON {
            .object([
                "checkpoints": pretraining.checkpoints.json, "result": .number(pretraining.result),
            ])
        }
        return .object([
            "protocol": "fine-tune",
            "seeds": .array(
                trials.map { trial in
                    .object([
                        "seed": .integer(Int(truncatingIfNeeded: trial.seed)),
                        "pretrainings": .byCase { (kind: Kind) in trial.pretrainings[kind].map(pretraining) ?? .null },
                        "fine_tuned": .byCase { (kind: Kind) in trial.tuned[kind]?.curvesJSON ?? .null },
                        "iterative": .byCase { (kind: Kind) in trial.iterative[kind]?.json ?? .null },
                        "initial_weights": trial.fresh.curvesJSON,
                    ])
                }),
        ])
    }
}
