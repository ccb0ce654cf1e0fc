import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Everything that the language model's part of the essential-sparsity experiment measures, seed by seed.
package struct LetterModelMeasurement: Sendable {
    typealias Label = EssentialSparsityMeasurement.Label
    package typealias Kind = LetterModelTrial.Kind

    var size: LetterModelSize
    package var trials: [LetterModelTrial]
    /// Prunable weights.
    var prunableCount: Int

    /// What trials have found.
    package init(size: LetterModelSize, _ trials: [LetterModelTrial]) throws {
        self.size = size
        self.trials = trials
        prunableCount = try PrunableNetwork(
            DecoderNetwork(size.configuration), targets: LetterModelTrial.prunableWeights
        ).count
    }

    static func size(in setting: ExperimentSetting) -> LetterModelSize {
        (setting.isFull ? LetterModelSize.large : .small).scaled(by: setting.scale)
    }

    /// Curves of the finished decoders.
    func curves(_ label: String, _ kind: Kind = .plain) -> [SparsityReport.Series] {
        .init(label, in: trials.map { $0.sweeps[kind] })
    }

    /// What the checkpoints of both trainings show.
    var courses: [PretrainingCourse] {
        Kind.allCases.map { kind in PretrainingCourse(kind.rawValue, trials.compactMap { $0.checkpoints[kind] }) }
    }
}

// MARK: - Claims

extension LetterModelMeasurement {
    package var claims: [Claim] { [sharpDrop, magnitudeBeatsRandom, nearZero, abrupt] }

    /// The same without texts to train on.
    static var openClaims: [Claim] {
        LetterModelClaim.allCases.map {
            $0.notMeasured("needs models that are trained here, on the texts of a data folder (--data)")
        }
    }

    private var sharpDrop: Claim {
        let magnitude = curves(Label.global)
        let fit = magnitude.meanCurve?.kneeFit()
        return LetterModelClaim.sharpDrop.measured(
            [
                Comparison("slope after / slope before", fit?.slopeRatio ?? .nan, .atLeast, 5),
                Comparison("knee", fit?.breakpoint ?? .nan, .above, 0, unit: "sparsity"),
            ],
            remark: "Dense loss \(MarkupText.number(magnitude.meanLoss(at: 0))) nats a letter, of guessing "
                + "\(MarkupText.number(LetterTexts.chanceLoss)); s_τ \(MarkupText.number(magnitude.tolerancePoint, digits: 3))."
        )
    }

    private var magnitudeBeatsRandom: Claim {
        let tested = EssentialSparsity.sparsities.filter { $0 >= 0.2 }
        return LetterModelClaim.magnitudeBeatsRandom.measured(
            [(Label.random, "random"), (Label.randomErdosRenyi, "random ERK")].flatMap { label, name in
                let gaps = tested.map { curves(label).gap(to: curves(Label.global), near: $0) }
                return [
                    Comparison(
                        "loss of \(name) − magnitude, least over s ≥ 0.2", gaps.leastNumber, .atLeast, 0, unit: "nats"),
                    Comparison(
                        "loss of \(name) − magnitude at s = 0.4",
                        curves(label).gap(to: curves(Label.global), near: 0.4), .atLeast, 0.1, unit: "nats"),
                ]
            })
    }

    private var nearZero: Claim {
        LetterModelClaim.nearZero.measured(
            courses.flatMap { $0.rises(of: prunableCount) },
            remark: courses.map(\.summary).joined(separator: "; ") + ".")
    }

    private var abrupt: Claim {
        LetterModelClaim.abrupt.measured(
            courses.flatMap(\.risesAbruptly), remark: courses.map(\.changes).joined(separator: "; ") + ".")
    }
}

// MARK: - Shown

extension LetterModelMeasurement {
    static let protocolText =
        "Language model trained here, zero-shot protocol: decoders learn to say the next letter of the same texts, with and "
        + "without weight decay, and are pruned at checkpoints and in the end; nothing is trained afterwards. RMS₀ is the "
        + "root mean square that a matrix begins its training with, so that thresholds in units of it stay where they are; "
        + "RMS is the one that it has at the moment. Checkpoints are equally spaced on a logarithmic scale."

    var facts: [ExperimentReport.Fact] {
        [
            .init(
                "language model trained here",
                "decoder, \(size.layers) layers of width \(size.width), \(size.heads) heads, \(prunableCount) prunable "
                    + "weights"),
            .init(
                "its training",
                "\(size.steps) steps of \(size.batch) windows of \(size.context) letters of the encoder's texts, AdamW, peak "
                    + "rate \(MarkupText.number(size.rate)), \(size.checkpoints) checkpoints, s_τ at every second one; loss "
                    + "on \(size.heldOutWindows) held-out windows"),
            .init("its seeds", trials.map { "\($0.seed)" }.joined(separator: ", ")),
        ]
    }

    package var tables: [ExperimentReport.Table] {
        let columns = [
            curves(Label.global), curves(Label.layer), curves(Label.random), curves(Label.randomErdosRenyi),
            curves(Label.global, .decayed),
        ]
        let losses = HTMLTable(
            head: [
                "sparsity", "magnitude", "layer by layer", "random", "random ERK", "weight decay 0.1, magnitude",
            ],
            rows: ([0] + EssentialSparsity.sparsities).map { sparsity in
                [MarkupText.number(sparsity)] + columns.map { MarkupText.number($0.meanLoss(near: sparsity)) }
            }, numericColumns: Set(0...5))
        return [
            .init(title: "Language model: loss without fine-tuning, nats a letter", losses),
            .init(title: "Language model: weights near zero along training", courses.nearZeroTable),
            .init(title: "Language model: s_τ without fine-tuning along training", courses.toleranceTable),
        ]
    }

    package var illustrations: [ExperimentReport.Illustration] {
        let kinds = [
            (Label.global, "magnitude"), (Label.layer, "magnitude, layer by layer"), (Label.random, "random"),
            (Label.randomErdosRenyi, "random ERK"),
        ]
        return [
            .init(
                id: "language-model-loss",
                LineChart(
                    title: "Language model: loss without fine-tuning",
                    summary: "Loss of a language model of letters that is pruned in one shot, by sparsity.",
                    horizontalTitle: "share of block weights removed", verticalTitle: "nats per letter",
                    series: kinds.map { curves($0.0).line($0.1) { $0 } }),
                caption: "Means over seeds, without weight decay."),
            courses.illustration(
                id: "language-model-near-zero", title: "Language model: weights near zero along training"),
        ]
    }

    /// The numbers behind the claims.
    package var json: JSON {
        .object([
            "protocol": "zero-shot",
            "seeds": .array(
                trials.map { trial in
                    .object([
                        "seed": .integer(Int(truncatingIfNeeded: trial.seed)),
                        "checkpoints": .byCase { (kind: Kind) in trial.checkpoints[kind]?.json ?? .null },
                        "curves": .byCase { (kind: Kind) in trial.sweeps[kind]?.curvesJSON ?? .null },
                    ])
                }),
        ])
    }
}
