import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension VisionSparsityMeasurement {
    /// The numbers behind the claims.
    package var json: JSON {
        func pretraining(_ pretraining: VisionPretraining) -> JSON {
            .object([
                "checkpoints": .array(
                    pretraining.checkpoints.map { checkpoint in
                        .object([
                            "step": .integer(checkpoint.step),
                            "near_zero": .array(checkpoint.nearZero.map { .number($0) }),
                        ])
                    }), "result": .number(pretraining.result),
            ])
        }
        func byKind(_ value: (Kind) -> JSON) -> JSON {
            .object(OrderedDictionary(Kind.allCases.map { ($0.rawValue, value($0)) }) { first, _ in first })
        }
        return .object([
            "protocol": "fine-tune",
            "seeds": .array(
                trials.map { trial in
                    .object([
                        "seed": .integer(Int(truncatingIfNeeded: trial.seed)),
                        "pretrainings": byKind { trial.pretrainings[$0].map(pretraining) ?? .null },
                        "fine_tuned": byKind { trial.tuned[$0]?.curvesJSON ?? .null },
                        "initial_weights": trial.fresh.curvesJSON,
                    ])
                }),
        ])
    }
}
