import CoppiceCompression

extension EncoderSparsityMeasurement {
    package var illustrations: [ExperimentReport.Illustration] { [accuracies, patternChart, courses, zeroShotLosses] }

    private func line(
        _ name: String, _ series: [SparsityReport.Series], _ value: (Double) -> Double = { (1 - $0) * 100 }
    ) -> LineChart.Series {
        let curve = Self.meanCurve(series)
        let points = zip(curve?.sparsities ?? [], curve?.losses ?? []).map { (x: $0, y: value($1)) }
        return LineChart.Series(name: name, points: points)
    }

    private var accuracies: ExperimentReport.Illustration {
        let iterative = EncoderTrial.sparsities.indices.map { place in
            (
                x: EncoderTrial.sparsities[place],
                y: (1 - SeedStatistics(trials.map { $0.iterative[place].error }).mean) * 100
            )
        }
        return .init(
            id: "encoder-accuracy",
            LineChart(
                title: "Encoder: accuracy after fine-tuning",
                summary:
                    "Test accuracy of a pre-trained encoder that is pruned in one shot and fine-tuned, by sparsity.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "test accuracy, %",
                series: [
                    line("magnitude", tuned(Label.global)), line("magnitude, layer by layer", tuned(Label.layer)),
                    LineChart.Series(name: "iterative (lottery ticket)", points: iterative),
                    line("random", tuned(Label.random)), line("random ERK", tuned(Label.randomErdosRenyi)),
                    line("magnitude, initial weights", freshTrained(Label.global)),
                    line("random, initial weights", freshTrained(Label.random)),
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
                    line("magnitude", tuned(Label.global)), line("N:8", tuned(Label.groupsOfEight)),
                    line("N:4", tuned(Label.groupsOfFour)), line("N:2", tuned(Label.groupsOfTwo)),
                ]),
            caption: "Means over seeds.")
    }

    private var courses: ExperimentReport.Illustration {
        let series = EncoderPretraining.Kind.allCases.map { kind in
            LineChart.Series(
                name: kind.rawValue,
                points: zip(pretrainings(kind).first?.checkpoints.map(\.step) ?? [], nearZeroCourse(kind)).map {
                    (x: Double($0), y: $1 * 100)
                })
        }
        return .init(
            id: "near-zero-along-pre-training",
            LineChart(
                title: "Encoder: weights near zero along pre-training",
                summary: "Share of weights below a tenth of their matrix's root mean square, by step of pre-training.",
                horizontalTitle: "step of pre-training", verticalTitle: "per cent of weights", series: series),
            caption: "Means over seeds. A normal distribution has 7.97 % there.")
    }

    private var zeroShotLosses: ExperimentReport.Illustration {
        let kinds = EncoderPretraining.Kind.allCases.filter { $0 != .supervised }
        let magnitude = kinds.map { line($0.rawValue, zeroShot($0, Label.global)) { $0 } }
        return .init(
            id: "encoder-loss-by-sparsity",
            LineChart(
                title: "Encoder: loss of gaps without fine-tuning",
                summary: "Loss of masked language models that are pruned in one shot, by sparsity.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "nats per gap",
                series: magnitude + [line("random", zeroShot(.masked, Label.random)) { $0 }]),
            caption: "Means over seeds, magnitude unless said.")
    }
}
