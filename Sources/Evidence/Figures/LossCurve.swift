import CoppiceModels

/// The loss of a training by its steps: means over stretches of them, so that the curve of noisy batches can be read.
package struct LossCurve: Sendable {
    /// Of what was trained.
    package var name: String
    /// Steps of a stretch.
    private let stretch: Int
    private var means: [(x: Double, y: Double)] = []
    private var open: (sum: Double, count: Int, step: Int) = (0, 0, 0)

    /// - Parameters:
    ///   - steps: of the whole training.
    ///   - points: that the curve has about.
    package init(_ name: String, steps: Int, points: Int = 30) {
        self.name = name
        stretch = max(1, steps / max(1, points))
    }

    /// Takes the loss of a step, from 0; one that is not a number (of a step that had none) is passed over.
    package mutating func add(_ loss: Double, at step: Int) {
        guard loss.isFinite else { return }
        open = (open.sum + loss, open.count + 1, step)
        guard open.count == stretch else { return }
        means.append((Double(step + 1), open.sum / Double(stretch)))
        open = (0, 0, 0)
    }

    /// Step after which, and mean loss of the stretch before it.
    package var points: [(x: Double, y: Double)] {
        open.count == 0 ? means : means + [(Double(open.step + 1), open.sum / Double(open.count))]
    }
}

extension [LossCurve] {
    /// The figure of loss against step; none of no curve.
    func illustration(
        id: String = "loss", title: String, caption: String
    ) -> [ExperimentReport.Illustration] {
        let series = filter { !$0.points.isEmpty }.map { LineChart.Series(name: $0.name, points: $0.points) }
        guard !series.isEmpty else { return [] }
        return [
            .init(
                id: id,
                LineChart(
                    title: title, summary: "Mean loss of the batches of each stretch of training, by step.",
                    horizontalTitle: "step", verticalTitle: "loss, nats", series: series),
                caption: caption)
        ]
    }

    /// A list of `{name, steps, losses}`.
    var json: JSON {
        .array(
            map { curve in
                .object([
                    "name": .string(curve.name), "steps": .array(curve.points.map { .number($0.x) }),
                    "losses": .array(curve.points.map { .number($0.y) }),
                ])
            })
    }
}
