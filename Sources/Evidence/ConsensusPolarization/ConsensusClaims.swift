import CoppiceCompression
import CoppiceModels

extension ConsensusMeasurement {
    /// What the paper says, and whether it is so here.
    ///
    /// - Parameter isFull: whether the paper's own sizes were run.
    package func claims(isFull: Bool = false) -> [Claim] {
        [
            consensus, staticEqualsDynamic, targetReached, exactExtraction, accuracy, betterThanOthers, onePass,
            inferenceTime, paperAccuracy(isFull),
        ]
    }

    private func gates(_ arm: Arm) -> [(seed: UInt64, gates: Gates)] {
        runs(of: arm).compactMap { run in run.gates.map { (run.seed, $0) } }
    }

    private var consensus: Claim {
        Claim(
            id: "consensus", statement: "Polarization makes all images agree about every gate.",
            paper: "The purpose of the polarization term.",
            criterion:
                "The largest ḡ(1 − ḡ) over held-out images is at most 0.02 with polarization, of blocks and of channels, "
                + "and at least 0.05 without it, on each seed.",
            comparisons: [(Arm.consensus, "blocks"), (.channels, "channels")].flatMap { arm, name in
                gates(arm).map {
                    Comparison("with polarization, \(name), seed \($0.seed)", $0.gates.disagreement, .atMost, 0.02)
                }
            }
                + gates(.targetOnly).map {
                    Comparison("target only, seed \($0.seed)", $0.gates.disagreement, .atLeast, 0.05)
                })
    }

    /// In points.
    private func gap(_ gates: Gates) -> Double { 100 * abs(gates.dynamicAccuracy - gates.staticAccuracy) }

    private var staticEqualsDynamic: Claim {
        Claim(
            id: "static-equals-dynamic",
            statement: "With polarization the smaller network is as accurate as the one with gates.",
            paper: "The gates are dropped for inference.",
            criterion:
                "Accuracies differ by at most 0.2 points on each seed, and by more without polarization on at least one "
                + "seed.",
            comparisons: gates(.consensus).map {
                Comparison("gated − cut, seed \($0.seed)", gap($0.gates), .atMost, 0.2, unit: "points")
            } + [
                Comparison(
                    "target only, gated − cut, largest of the seeds",
                    gates(.targetOnly).map { gap($0.gates) }.max() ?? .nan, .above, 0.2, unit: "points")
            ], remark: "Before norms are measured anew.")
    }

    private var targetReached: Claim {
        Claim(
            id: "target-reached", statement: "As many blocks or channels stay as was asked for.",
            paper: "A user-defined sparsity.",
            criterion:
                "The blocks that stay are within one of t times the gates, the part of channels that stays is within "
                + "0.05 of t.",
            comparisons: gates(.consensus).map {
                Comparison(
                    "distance from \(MarkupText.number(ConsensusPolarization.target * Double($0.gates.count))), seed "
                        + "\($0.seed)",
                    abs(Double($0.gates.kept) - ConsensusPolarization.target * Double($0.gates.count)), .atMost, 1,
                    unit: "blocks")
            }
                + gates(.channels).map {
                    Comparison(
                        "channels, distance from \(MarkupText.number(ConsensusPolarization.target)), seed \($0.seed)",
                        abs(Double($0.gates.kept) / Double($0.gates.count) - ConsensusPolarization.target), .atMost,
                        0.05)
                })
    }

    private var exactExtraction: Claim {
        let all = [Arm.consensus, .targetOnly, .channels].flatMap { gates($0) }
        return Claim(
            id: "exact-extraction",
            statement: "What is cut out computes what the gated network does with the same decisions.",
            paper: "Implied by the method.", criterion: "Scores differ by at most 1e-5 of the largest, in every run.",
            comparisons: [
                Comparison(
                    "largest difference of \(all.count) networks", all.map(\.gates.difference).max() ?? .nan, .atMost,
                    1e-5)
            ])
    }

    private var accuracy: Claim {
        Claim(
            id: "accuracy", statement: "Half of the blocks can go without much loss, and it matters which.",
            paper: "50 % of the connections go with less than 1 % loss on CIFAR-10 and CIFAR-100.",
            criterion:
                "The mean accuracy is at most 1.5 points below the dense network's, and at most 0.2 below that of "
                + "networks with as many random blocks less.",
            comparisons: [
                Comparison(
                    "consensus − dense", lead(of: .consensus, over: .dense), .atLeast, -1.5, unit: "points"),
                Comparison(
                    "consensus − random blocks", lead(of: .consensus, over: .randomBlocks), .atLeast, -0.2,
                    unit: "points"),
            ])
    }

    private var betterThanOthers: Claim {
        Claim(
            id: "better-than-others",
            statement: "At equal multiplications no other method is more than 0.2 points more accurate.",
            paper: "A lower drop than related methods at equal reduction of compute.",
            criterion:
                "The mean accuracy is at most 0.2 points below that of each of the others: level with them, not above "
                + "them.",
            comparisons: Self.others.map {
                Comparison("consensus − \($0.name)", lead(of: .consensus, over: $0), .atLeast, -0.2, unit: "points")
            },
            remark: "Multiplications left, of the dense network's: "
                + ([.consensus] + Self.others).map {
                    "\($0.name) \(MarkupText.percent(mean($0, \.multiplicationPart)))"
                }.joined(separator: ", ") + ". Gradual pruning leaves no smaller dense network.")
    }

    /// With the multiplications of the consensus network.
    private static let others: [Arm] = [.norm, .slimming, .staticGates, .gradual]

    private var onePass: Claim {
        Claim(
            id: "one-pass", statement: "It takes one training.",
            paper: "One pass training: no pre-training, no fine-tuning.",
            criterion:
                "Training, deciding and measuring norms take at most 1.1 times the multiplications of a dense training; "
                + "the L1 norm with fine-tuning at least 1.3 times.",
            comparisons: [
                Comparison("consensus", mean(.consensus, \.cost), .atMost, 1.1, unit: "dense trainings"),
                Comparison("L1 norm + fine-tuning", mean(.norm, \.cost), .atLeast, 1.3, unit: "dense trainings"),
            ],
            remark: "Multiplications are counted, and both numbers follow from the settings: the gates' own and what "
                + "measures decisions and norms, and 0.6 of the epochs of fine-tuning. Closed branches are computed in "
                + "training, since their gates' gradients need them.")
    }

    private var inferenceTime: Claim {
        Claim(
            id: "inference-time", statement: "The smaller network is faster by what it saves.",
            paper: "No overhead of gates at inference.",
            criterion: "A pass takes at most the part of multiplications left + 0.15 of the dense network's time.",
            notMeasured:
                "reports hold no times; `coppice gates extract --measure` measures both networks side by side")
    }

    private func paperAccuracy(_ isFull: Bool) -> Claim {
        Claim(
            id: "cifar", statement: "On CIFAR-10 half goes with less than one point of loss.",
            paper: "Less than 1 % on CIFAR-10 and CIFAR-100.",
            criterion: "ResNet-56 on CIFAR-10 loses less than one point.",
            unless: isFull ? nil : "it needs the sizes of --full",
            comparisons: [
                Comparison("consensus − dense", lead(of: .consensus, over: .dense), .above, -1, unit: "points")
            ])
    }
}
