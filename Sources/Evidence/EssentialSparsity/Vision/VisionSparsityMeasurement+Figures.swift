import CoppiceCompression

extension VisionSparsityMeasurement {
    package var illustrations: [ExperimentReport.Illustration] { [accuracies, otherMasks, nearZeroChart] }

    private var accuracies: ExperimentReport.Illustration {
        let pretrained = Kind.allCases.flatMap { kind in
            [
                tuned(kind).line("\(kind.rawValue), magnitude"),
                tuned(kind, Label.random).line("\(kind.rawValue), random"),
            ]
        }
        return .init(
            id: "vision-accuracy",
            LineChart(
                title: "Vision transformers: accuracy after fine-tuning",
                summary:
                    "Test accuracy of pre-trained vision transformers that are pruned in one shot and fine-tuned, by "
                    + "sparsity.",
                horizontalTitle: "share of block weights removed", verticalTitle: "test accuracy, %",
                series: pretrained + [
                    fresh().line("initial weights, magnitude"), fresh(Label.random).line("initial weights, random"),
                ]),
            caption: "Means over seeds. Guessing is right on \(MarkupText.percent(1 / Double(classCount))).")
    }

    private var otherMasks: ExperimentReport.Illustration {
        .init(
            id: "vision-masks",
            LineChart(
                title: "Vision transformers: other masks",
                summary:
                    "Test accuracy of a vision transformer that is pre-trained with labels, under masks of other kinds, by "
                    + "sparsity.",
                horizontalTitle: "share of block weights removed", verticalTitle: "test accuracy, %",
                series: [
                    tuned(.supervised).line("magnitude"),
                    tuned(.supervised, Label.layer).line("magnitude, layer by layer"),
                    lotteryComparison(.supervised).line,
                    tuned(.supervised, Label.randomErdosRenyi).line("random ERK"),
                    tuned(.supervised, Label.groupsOfEight).line("N:8"),
                ]),
            caption: "Means over seeds, after the supervised pre-training.")
    }

    private var nearZeroChart: ExperimentReport.Illustration {
        courses.illustration(
            id: "vision-near-zero", title: "Vision transformers: weights near zero along pre-training")
    }
}
