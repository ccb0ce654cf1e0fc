import CoppiceModels

/// Outcomes beside each other: one row an arm.
public struct GrokkingTable: Sendable {
    public var dense: GrokkingOutcome
    public var arms: [GrokkingOutcome]

    public init(dense: GrokkingOutcome, arms: [GrokkingOutcome]) {
        self.dense = dense
        self.arms = arms
    }

    public static let head = [
        "run", "keep", "wd", "t_train", "t_test", "tau_grok", "speed_up", "best_test", "l1", "l2", "overlap",
    ]

    /// Cells as text; `-` for what there is not, `>` before a delay that is only a bound.
    public var rows: [[String]] {
        ([dense] + arms).map { outcome in
            let curve = outcome.curve
            let delay = curve.delayOrBound
            return [
                outcome.arm.name, "\(outcome.arm.kept)", "\(outcome.arm.weightDecay)",
                curve.trainStep.map(String.init) ?? "-", curve.testStep.map(String.init) ?? "-",
                curve.trainStep == nil ? "-" : (delay.isBound ? ">" : "") + "\(delay.steps)",
                outcome.speedUp(over: dense).map { Self.rounded($0, 2) } ?? "-",
                Self.rounded(curve.bestTestAccuracy, 3), Self.rounded(outcome.initialNorms.total(.l1), 1),
                Self.rounded(outcome.initialNorms.total(.l2), 2), outcome.overlap.map { Self.rounded($0, 3) } ?? "-",
            ]
        }
    }

    /// Columns set apart by two spaces, the first to the left.
    public var text: String {
        let all = [Self.head] + rows
        let widths = Self.head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let space = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + space : space + cell.0
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    /// A header and one line a row; empty cells for what there is not.
    public var csv: String {
        ([Self.head] + rows).map { $0.map { $0 == "-" ? "" : $0 }.joined(separator: ",") }.joined(separator: "\n")
            + "\n"
    }

    /// One object a row: `run`, `keep`, `weight_decay`, `t_train`, `t_test`, `tau_grok`, `tau_grok_at_least`,
    /// `speed_up`, `best_test_accuracy`, `l1`, `l2`, `overlap`; null for what there is not.
    public var json: JSON {
        .array(
            ([dense] + arms).map { outcome -> JSON in
                let curve = outcome.curve
                func integer(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
                func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
                return .object([
                    "run": .string(outcome.arm.name), "keep": .number(outcome.arm.kept),
                    "weight_decay": .number(outcome.arm.weightDecay), "t_train": integer(curve.trainStep),
                    "t_test": integer(curve.testStep), "tau_grok": integer(curve.delay),
                    "tau_grok_at_least": integer(curve.delayOrBound.steps),
                    "speed_up": number(outcome.speedUp(over: dense)),
                    "best_test_accuracy": .number(curve.bestTestAccuracy),
                    "l1": .number(outcome.initialNorms.total(.l1)), "l2": .number(outcome.initialNorms.total(.l2)),
                    "overlap": number(outcome.overlap),
                ])
            })
    }

    private static func rounded(_ value: Double, _ places: Int) -> String {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        return "\((value * scale).rounded() / scale)"
    }
}

extension GrokkingCurve {
    /// The largest test accuracy that was measured; 0 of nothing.
    public var bestTestAccuracy: Double { points.map(\.testAccuracy).max() ?? 0 }
}

extension GrokkingArm {
    /// Penalties on the norm that tickets are compared with, in the place of decay. At the initial weights of the small
    /// perceptron the weaker one of each power is some hundredths of a nat, the stronger ten times as much.
    public static let penalties: [Start] = [
        .penalty(.one, strength: 1e-5), .penalty(.one, strength: 1e-4), .penalty(.two, strength: 1e-4),
        .penalty(.two, strength: 1e-3),
    ]

    /// What tells structure from norm: tickets by fraction and by source step, dense networks of matched norm, with
    /// ``penalties`` and with twice the decay, random masks and criteria at initialization, and runs without decay.
    ///
    /// - Parameters:
    ///   - testStep: the dense network's t_test (its steps, where it did not generalize): arms that should be slower get
    ///     as long or twice as long.
    ///   - sourceSteps: earlier steps to cut tickets from.
    ///   - stepsWithoutDecay: how long runs without decay go.
    ///   - perTensor: whether norms are matched tensor by tensor too.
    public static func controls(
        kept: Double = 0.4, otherKept: [Double] = [0.6, 0.3, 0.2], weightDecay: Double = 1, testStep: Int,
        sourceSteps: [Int], stepsWithoutDecay: Int, perTensor: Bool = false
    ) -> [GrokkingArm] {
        func arm(_ start: Start, _ kept: Double, steps: Int) -> GrokkingArm {
            GrokkingArm(start, kept: kept, weightDecay: weightDecay, steps: steps)
        }
        let orders = [false, true].filter { perTensor || !$0 }.flatMap { each in
            WeightNorms.Order.allCases.map { Start.matchedNorm($0, perTensor: each) }
        }
        let early: [Start] = [.random, .snip, .grasp, .synflow]
        var arms = [GrokkingArm(.dense, kept: 1, weightDecay: 0, steps: stepsWithoutDecay)]
        arms += orders.map { arm($0, kept, steps: 2 * testStep) }
        arms += penalties.map { GrokkingArm($0, kept: 1, weightDecay: 0, steps: 2 * testStep) }
        // Twice nothing is nothing.
        if weightDecay > 0 {
            arms.append(GrokkingArm(.otherDecay, kept: 1, weightDecay: 2 * weightDecay, steps: 2 * testStep))
        }
        arms += sourceSteps.map { arm(.ticket(step: $0), kept, steps: 2 * testStep) }
        arms += early.map { arm($0, kept, steps: testStep) }
        arms += ([kept] + otherKept).map { arm(.ticket(step: nil), $0, steps: testStep) }
        arms.append(GrokkingArm(.ticket(step: nil), kept: kept, weightDecay: 0, steps: stepsWithoutDecay))
        return arms
    }
}
