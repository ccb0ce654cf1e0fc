import CoppiceCompression

extension VisionSparsityMeasurement {
    package var illustrations: [ExperimentReport.Illustration] { [accuracies, courses] }

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

    private var courses: ExperimentReport.Illustration {
        let series = Kind.allCases.map { kind in
            LineChart.Series(
                name: kind.rawValue,
                points: zip(pretrainings(kind).first?.checkpoints.map(\.step) ?? [], nearZeroCourse(kind)).map {
                    (x: Double($0), y: $1 * 100)
                })
        }
        return .init(
            id: "vision-near-zero",
            LineChart(
                title: "Vision transformers: weights near zero along pre-training",
                summary: "Share of weights below a tenth of their matrix's root mean square, by step of pre-training.",
                horizontalTitle: "step of pre-training", verticalTitle: "per cent of weights", series: series),
            caption: "Means over seeds. A normal distribution has 7.97 % there.")
    }
}
