import CoppiceModels

extension LotteryJackpotsMeasurement {
    private typealias Size = LotteryJackpots.Size

    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            jackpotsExist, asGoodAsTraining, cheaperFromMagnitude, fasterFromMagnitude, likeMagnitude, restriction,
            weightsStay, withNorms, searchWithNorms, masksWithNorms,
        ]
    }

    private func percent(_ sparsity: Double) -> String { MarkupText.percent(sparsity, places: 0) }

    private var jackpotsExist: Claim {
        let lost = Size.sparsities.filter {
            100 * (SeedStatistics(dense).mean - accuracies.mean(.magnitude, at: $0)) >= 10
        }
        let (statement, paper) = (
            "Sparse networks that do far better than a magnitude mask exist in trained weights as they are.",
            "ResNet-50 at 90 %: above 70 % top-1 after five epochs of search (abstract)."
        )
        let criterion =
            "Wherever the magnitude mask loses at least 10 points, the jackpot's mean accuracy is at least 10 "
            + "points above the mask's."
        guard !lost.isEmpty else {
            return Claim(
                id: "jackpots-exist", statement: statement, paper: paper, criterion: criterion,
                notMeasured: "the magnitude masks lose less than 10 points at all sparsities")
        }
        return Claim(
            id: "jackpots-exist", statement: statement, paper: paper, criterion: criterion,
            comparisons: lost.map {
                Comparison(
                    "jackpot − magnitude mask, \(percent($0))",
                    accuracies.lead(of: .jackpot, over: .magnitude, at: $0), .atLeast, 10, unit: "points")
            })
    }

    private var asGoodAsTraining: Claim {
        Claim(
            id: "as-good-as-training",
            statement: "Searching the mask recovers what training the weights under a magnitude mask recovers.",
            paper: "Tables: as good as methods that train weights.",
            criterion: "The jackpot's mean accuracy is at most 1.5 points below that of weights trained for as many "
                + "epochs, at every sparsity.",
            comparisons: Size.sparsities.map {
                Comparison(
                    "jackpot − weights trained, \(percent($0))",
                    accuracies.lead(of: .jackpot, over: .fineTuned, at: $0), .atLeast, -1.5, unit: "points")
            })
    }

    private var cheaperFromMagnitude: Claim {
        Claim(
            id: "cheaper-from-magnitude",
            statement: "Starting from the magnitude mask makes the search at least three times as cheap.",
            paper: "Abstract: at least three times, at equal or better accuracy.",
            criterion:
                "At 95 % the mean accuracy from the magnitude mask is at least that from random scores after three "
                + "times as many epochs.",
            comparisons: [
                Comparison(
                    "jackpot − from random scores, 95 %",
                    accuracies.lead(of: .jackpot, over: .randomStart, at: Size.highest), .atLeast, 0, unit: "points")
            ])
    }

    private var fasterFromMagnitude: Claim {
        Claim(
            id: "faster-from-magnitude", statement: "It is ahead from the first epoch.",
            paper: "Figure: accuracy by epoch for both starts.",
            criterion:
                "At 95 % the mean accuracy after the first epoch is at least that of the search from random scores.",
            comparisons: [
                Comparison(
                    "after one epoch, 95 %",
                    accuracies.lead(of: .firstEpoch, over: .randomFirstEpoch, at: Size.highest), .atLeast, 0,
                    unit: "points")
            ])
    }

    private var likeMagnitude: Claim {
        Claim(
            id: "like-magnitude",
            statement: "Of known criteria, magnitude gives the masks most like searched ones.",
            paper: "Abstract.",
            criterion: "At every sparsity " + Self.sharingCriterion,
            comparisons: sharing(overlaps, at: Size.sparsities))
    }

    private static let sharingCriterion =
        "a jackpot shares at least 0.6 of its weights with the magnitude mask, 0.3 more than with a random one, and at "
        + "least as many as with those of SNIP, GraSP, Taylor and OBD (means)."

    /// What ``sharingCriterion`` asks for.
    private func sharing(_ overlaps: ArmAccuracies<Reference>, at sparsities: [Double]) -> [Comparison] {
        sparsities.flatMap { sparsity -> [Comparison] in
            let magnitude = overlaps.mean(.magnitude, at: sparsity)
            func lead(over other: Reference, _ least: Double) -> Comparison {
                Comparison(
                    "magnitude − \(other.rawValue), \(percent(sparsity))",
                    magnitude - overlaps.mean(other, at: sparsity), .atLeast, least)
            }
            let others: [Reference] = [.snip, .grasp, .taylor, .obd]
            return [
                Comparison("shared with magnitude, \(percent(sparsity))", magnitude, .atLeast, 0.6),
                lead(over: .random, 0.3),
            ] + others.map { lead(over: $0, 0) }
        }
    }

    private var restriction: Claim {
        Claim(
            id: "restriction", statement: "Swapping fewer pairs towards the end does not hurt.",
            paper: "Abstract: a short restriction makes the search stable.",
            criterion: "The jackpot's mean accuracy is at least that with all swaps made less 0.5 points, at every "
                + "sparsity.",
            comparisons: Size.sparsities.map {
                Comparison(
                    "restricted − all swaps, \(percent($0))",
                    accuracies.lead(of: .jackpot, over: .unrestricted, at: $0), .atLeast, -0.5, unit: "points")
            },
            remark: "Epochs whose mean loss rose: \(risingEpochs.restricted) with fewer swaps, "
                + "\(risingEpochs.unrestricted) with all.")
    }

    private var weightsStay: Claim {
        Claim(
            id: "weights-stay", statement: "Only the mask is learned.", paper: "The method.",
            criterion: "No kept weight of a jackpot differs from the trained one in any bit.",
            comparisons: [Comparison("kept weights that changed", Double(changedWeights), .equal, 0)])
    }

    /// Why claims of the residual network are not measured.
    private var noResidualNetwork: String? {
        convolutionalDense.isEmpty ? "no residual network was trained" : nil
    }

    private var withNorms: Claim {
        let dense = SeedStatistics(convolutionalDense)
        return Claim(
            id: "with-norms", statement: "It holds for convolutional networks with batch norm.",
            paper: "ResNet-32 on CIFAR-10 at 90 %: 93.70 % after 30 epochs of search.",
            criterion:
                "A residual network at 90 and 95 %: the jackpot's mean accuracy is at least 10 points above the magnitude "
                + "mask's with renewed statistics of norms wherever that loses at least 10, and at most 1.5 points below "
                + "that of weights trained for as many epochs.",
            unless: noResidualNetwork,
            comparisons: Size.convolutionalSparsities.flatMap { sparsity -> [Comparison] in
                let loses = 100 * (dense.mean - convolutional.mean(.recalibrated, at: sparsity)) >= 10
                let rescued = Comparison(
                    "jackpot − magnitude mask with renewed statistics, \(percent(sparsity))",
                    convolutional.lead(of: .jackpot, over: .recalibrated, at: sparsity), .atLeast, 10, unit: "points")
                let trained = Comparison(
                    "jackpot − weights trained, \(percent(sparsity))",
                    convolutional.lead(of: .jackpot, over: .fineTuned, at: sparsity), .atLeast, -1.5, unit: "points")
                return (loses ? [rescued] : []) + [trained]
            }, remark: "Dense: \(dense.percent) %.")
    }

    private var searchWithNorms: Claim {
        func lead(_ name: String, _ arm: Arm, _ other: Arm, _ least: Double) -> Comparison {
            Comparison(
                "\(name), 95 %", convolutional.lead(of: arm, over: other, at: Size.highest), .atLeast, least,
                unit: "points")
        }
        let seeds = convolutional.accuracies(of: .randomStart, at: Size.highest).count
        return Claim(
            id: "search-with-norms",
            statement: "There too a search from the magnitude mask is cheaper, and fewer swaps do not hurt.",
            paper: "Abstract: at least three times cheaper; a short restriction makes the search stable.",
            criterion:
                "The residual network at 95 %: the jackpot's mean accuracy is at least that from random scores after three "
                + "times as many epochs, also after the first epoch, and at least that with all swaps made less 0.5 points.",
            unless: noResidualNetwork,
            comparisons: [
                lead("jackpot − from random scores", .jackpot, .randomStart, 0),
                lead("after one epoch", .firstEpoch, .randomFirstEpoch, 0),
                lead("restricted − all swaps", .jackpot, .unrestricted, -0.5),
            ],
            remark: "From random scores with \(seeds) of \(convolutionalDense.count) seeds, compared on these.")
    }

    private var masksWithNorms: Claim {
        Claim(
            id: "masks-with-norms", statement: "There too magnitude gives the masks most like searched ones.",
            paper: "Abstract.", criterion: "The residual network at 90 and 95 %: " + Self.sharingCriterion,
            unless: noResidualNetwork,
            comparisons: sharing(convolutionalOverlaps, at: Size.convolutionalSparsities))
    }
}

extension LotteryJackpotsMeasurement {
    var illustrations: [ExperimentReport.Illustration] {
        let arms: [Arm] = [.magnitude, .firstEpoch, .jackpot, .fineTuned]
        return [
            .init(
                id: "accuracy",
                LineChart(
                    title: "Accuracy by sparsity", summary: "Mean test accuracy by the sparsity of pruned layers.",
                    horizontalTitle: "sparsity", verticalTitle: "test accuracy",
                    series: arms.map { arm in
                        .init(name: arm.name, points: Size.sparsities.map { ($0, accuracies.mean(arm, at: $0)) })
                    } + [
                        .init(name: "dense", points: Size.sparsities.map { ($0, SeedStatistics(dense).mean) })
                    ]), caption: "Means over \(dense.count) seeds.")
        ]
            + losses.illustration(
                title: "Loss by step at 95 %",
                caption:
                    "First seed. Searches train scores under weights that stay, the last line weights under a mask.")
            + convolutionalLosses.illustration(
                id: "residual-loss", title: "Residual network: loss by step at 95 %", caption: "First seed.")
    }

    var tables: [ExperimentReport.Table] {
        let settings = Size.sparsities.map { (value: $0, name: percent($0)) }
        return [
            accuracies.table(
                "Test accuracy in percent",
                arms: Arm.allCases.filter { $0 != .recalibrated }.map { (arm: $0, name: $0.name) }, settings: settings),
            overlaps.table(
                "Weights of jackpots that other masks keep too, in percent",
                arms: Reference.allCases.map { (arm: $0, name: $0.rawValue) }, settings: settings),
        ]
            + (convolutionalDense.isEmpty
                ? []
                : [
                    convolutional.table(
                        "Residual network: test accuracy in percent, dense \(SeedStatistics(convolutionalDense).percent)",
                        arms: Self.convolutionalArms.map { (arm: $0, name: $0.name) },
                        settings: Size.convolutionalSparsities.map { (value: $0, name: percent($0)) }),
                    convolutionalOverlaps.table(
                        "Residual network: weights of jackpots that other masks keep too, in percent",
                        arms: Reference.allCases.map { (arm: $0, name: $0.rawValue) },
                        settings: Size.convolutionalSparsities.map { (value: $0, name: percent($0)) }),
                ])
    }

    var notes: [String] { ["Dense networks: \(SeedStatistics(dense).percent) % of test images right."] }

    var json: JSON {
        .object([
            "dense": .array(dense.map { .number($0) }),
            "accuracies": accuracies.json(
                arms: Arm.allCases.map { (arm: $0, name: $0.rawValue) }, settings: Size.sparsities),
            "overlaps": overlaps.json(
                arms: Reference.allCases.map { (arm: $0, name: $0.rawValue) }, settings: Size.sparsities),
            "residual": convolutional.json(
                arms: Self.convolutionalArms.map { (arm: $0, name: $0.rawValue) },
                settings: Size.convolutionalSparsities),
            "residual_overlaps": convolutionalOverlaps.json(
                arms: Reference.allCases.map { (arm: $0, name: $0.rawValue) },
                settings: Size.convolutionalSparsities),
            "residual_dense": .array(convolutionalDense.map { .number($0) }),
            "losses": losses.json, "residual_losses": convolutionalLosses.json,
            "rising_epochs": .object([
                "restricted": .integer(risingEpochs.restricted), "unrestricted": .integer(risingEpochs.unrestricted),
            ]),
        ])
    }
}
