import CoppiceCompression
import CoppiceModels

extension RateDistortionMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            additivity, deeperAdditivity, lessDistortion, accuracyAfterTraining, deeperNetworks, zeroData,
            linearProgramme,
        ]
    }

    private var additivity: Claim {
        Claim(
            id: "additivity",
            statement: "The output error of jointly pruned layers is about the sum of the layers' own.",
            paper: "The property that the method rests on (section 3, derived and plotted).",
            criterion:
                "Random splits with rates from 0.1 to 0.9: Pearson correlation of sum and joint error at least 0.97, median of "
                + "joint / sum from 0.8 to 1.4, on each seed.",
            comparisons: trials.flatMap { comparisons($0.joint, "seed \($0.dense.seed)") })
    }

    /// Whether errors of layers add up.
    private func comparisons(_ joint: JointDistortion, _ name: String) -> [Comparison] {
        let (correlation, ratio) = joint.additivity
        return [
            Comparison("correlation, \(name)", correlation, .atLeast, 0.97),
            Comparison("median of joint / sum, \(name)", ratio, .atLeast, 0.8),
            Comparison("the same", ratio, .atMost, 1.4),
        ]
    }

    private static let needsResidual = "it needs a data folder with resnet-cifar/resnet20.safetensors in it (--data)"

    private var deeperAdditivity: Claim {
        let (id, statement) = ("deeper-additivity", "Errors add up in a residual network too.")
        let paper = "Section 3: the property is derived for any feed-forward network."
        let criterion =
            "The same of ResNet-20, all of whose layers are pruned at once from the trained weights, on the images of its "
            + "curves."
        guard let residualJoint else {
            return Claim(
                id: id, statement: statement, paper: paper, criterion: criterion, notMeasured: Self.needsResidual)
        }
        return Claim(
            id: id, statement: statement, paper: paper, criterion: criterion,
            comparisons: comparisons(residualJoint, "ResNet-20"))
    }

    /// The mean over seeds of an arm's error over another's.
    private func ratio(_ arm: String, to other: String, at sparsity: Double) -> Double {
        SeedStatistics(
            trials.map {
                ($0.joint.errors[arm]?[sparsity] ?? .nan) / ($0.joint.errors[other]?[sparsity] ?? .nan)
            }
        ).mean
    }

    private var lessDistortion: Claim {
        Claim(
            id: "less-distortion",
            statement: "The split by the programme distorts the outputs less than other allocations.",
            paper: "Implied by the optimization; accuracies are reported instead.",
            criterion:
                "LeNet-300-100 at 80 and 90 %, before training, on test images: error at most 0.95 of global's and of "
                + "uniform's, and at most 1.03 of ERK's and of LAMP's, in the mean.",
            comparisons: [0.8, 0.9].flatMap { sparsity in
                [("global", 0.95), ("uniform", 0.95), ("ERK", 1.03), ("LAMP", 1.03)].map { other, bound in
                    Comparison(
                        "error / \(other)'s at \(MarkupText.percent(sparsity, places: 0))",
                        ratio("RD", to: other, at: sparsity), .atMost, bound)
                }
            })
    }

    private func difference(_ outcomes: [Outcome], _ arm: String, _ other: String, at sparsity: Double) -> Double {
        (outcomes.accuracies(arm, at: sparsity).mean - outcomes.accuracies(other, at: sparsity).mean) * 100
    }

    private var accuracyAfterTraining: Claim {
        Claim(
            id: "accuracy-after-training",
            statement: "After the same training the split by the programme is as accurate as any other, or more.",
            paper: "Up to 1.0 points better on CIFAR-10 (ResNet-32), 4.7 on ImageNet (VGG-16) (abstract).",
            criterion:
                "LeNet-300-100 at 90 and 95 %: mean accuracy at least global's, uniform's, ERK's and LAMP's − 0.3 points.",
            comparisons: [0.9, 0.95].flatMap { sparsity in
                Self.methods.dropFirst().map { other in
                    Comparison(
                        "RD − \(other) at \(MarkupText.percent(sparsity, places: 0))",
                        difference(outcomes, "RD", other, at: sparsity), .atLeast, -0.3, unit: "points")
                }
            })
    }

    private var deeperNetworks: Claim {
        let (id, statement) = ("deeper-networks", "The same holds of deeper networks.")
        let paper =
            "ResNet-32 on CIFAR-10 at 95.5 %: 90.83 ± 0.24 (dense 93.99), after 20 rounds (table of the release)."
        let criterion =
            "ResNet-20 on CIFAR-10 at 90 and 95 %, reached in rounds: mean accuracy at least global's − 0.2, uniform's + 0.5 and "
            + "LAMP's − 0.3 points."
        guard !residual.isEmpty else {
            return Claim(
                id: id, statement: statement, paper: paper, criterion: criterion,
                notMeasured: Self.needsResidual)
        }
        return Claim(
            id: id, statement: statement, paper: paper, criterion: criterion,
            comparisons: RoundsArm.compared.flatMap { sparsity in
                [("global", -0.2), ("uniform", 0.5), ("LAMP", -0.3)].map { other, bound in
                    Comparison(
                        "RD − \(other) at \(MarkupText.percent(sparsity, places: 0))",
                        difference(residual, "RD", other, at: sparsity), .atLeast, bound, unit: "points")
                }
            },
            remark: "Dense: \(MarkupText.percent(residualAccuracy ?? .nan)) on the test images.")
    }

    private var zeroData: Claim {
        Claim(
            id: "zero-data", statement: "Curves measured on Gaussian noise serve nearly as well as those on data.",
            paper: "ResNet-50 on ImageNet at 50 %: 75.13 without data, 75.90 at 41 % with it (table of the release).",
            criterion: "LeNet-300-100 at 90 and 95 %: mean accuracy at most 1 point below that by calibration images.",
            comparisons: [0.9, 0.95].map { sparsity in
                Comparison(
                    "noise − images at \(MarkupText.percent(sparsity, places: 0))",
                    difference(outcomes, Self.variants[1], "RD", at: sparsity), .atLeast, -1, unit: "points")
            })
    }

    private var linearProgramme: Claim {
        Claim(
            id: "the-programme-is-exact",
            statement: "A dynamic programme of linear time finds the best split of the curves.",
            paper: "Algorithm 1 (section 3).",
            criterion:
                "At 90 %, against the programme over single weights: 65,536 buckets at most 0.1 % above it, and the bound of "
                + "the Lagrangian relaxation not above it, on each seed.",
            comparisons: trials.flatMap { trial in
                [
                    Comparison(
                        "buckets, excess, seed \(trial.dense.seed)", (trial.solverExcess["buckets"] ?? .nan) * 100,
                        .atMost, 0.1, unit: "%"),
                    Comparison(
                        "lower bound, excess, seed \(trial.dense.seed)",
                        (trial.solverExcess["lower bound"] ?? .nan) * 100, .atMost, 1e-7, unit: "%"),
                ]
            })
    }
}
