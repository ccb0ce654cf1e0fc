import CoppiceCompression

extension EncoderSparsityMeasurement {
    package var illustrations: [ExperimentReport.Illustration] {
        [accuracies, patternChart, nearZeroChart, zeroShotLosses]
    }

    private var accuracies: ExperimentReport.Illustration {
        .init(
            id: "encoder-accuracy",
            LineChart(
                title: "Encoder: accuracy after fine-tuning",
                summary:
                    "Test accuracy of a pre-trained encoder that is pruned in one shot and fine-tuned, by sparsity.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "test accuracy, %",
                series: [
                    tuned(Label.global).line("magnitude"), tuned(Label.layer).line("magnitude, layer by layer"),
                    lotteryComparison.line,
                    tuned(Label.random).line("random"), tuned(Label.randomErdosRenyi).line("random ERK"),
                    freshTrained(Label.global).line("magnitude, initial weights"),
                    freshTrained(Label.random).line("random, initial weights"),
                ], marks: knee.map { [LineChart.Mark(x: $0.breakpoint, label: "knee")] } ?? []),
            caption: "Means over seeds. Guessing is right on 50 %. From initial weights: trained for "
                + "\(size.controlSteps) steps.")
    }

    private var patternChart: ExperimentReport.Illustration {
        .init(
            id: "encoder-patterns",
            LineChart(
                title: "Encoder: N:M patterns after fine-tuning",
                summary: "Test accuracy of N:M patterns by sparsity beside unstructured magnitude pruning.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "test accuracy, %",
                series: [
                    tuned(Label.global).line("magnitude"), tuned(Label.groupsOfEight).line("N:8"),
                    tuned(Label.groupsOfFour).line("N:4"), tuned(Label.groupsOfTwo).line("N:2"),
                ]),
            caption: "Means over seeds.")
    }

    private var nearZeroChart: ExperimentReport.Illustration {
        courses.illustration(
            id: "near-zero-along-pre-training", title: "Encoder: weights near zero along pre-training")
    }

    private var zeroShotLosses: ExperimentReport.Illustration {
        let kinds = EncoderPretraining.Kind.allCases.filter { $0 != .supervised }
        let magnitude = kinds.map { zeroShot($0, Label.global).line($0.rawValue) { $0 } }
        return .init(
            id: "encoder-loss-by-sparsity",
            LineChart(
                title: "Encoder: loss of gaps without fine-tuning",
                summary: "Loss of masked language models that are pruned in one shot, by sparsity.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "nats per gap",
                series: magnitude + [zeroShot(.masked, Label.random).line("random") { $0 }]),
            caption: "Means over seeds, magnitude unless said.")
    }
}
