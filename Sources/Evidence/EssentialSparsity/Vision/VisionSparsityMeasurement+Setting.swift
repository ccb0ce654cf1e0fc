import CoppiceCompression

extension VisionSparsityMeasurement {
    static func facts(
        of task: VisionSparsityTask, prunableCount: Int, seeds: [UInt64]
    ) -> [ExperimentReport.Fact] {
        let (size, patches) = (task.size, task.configuration.patchCount)
        return [
            .init(
                "vision transformer",
                "\(size.depth) blocks of width \(size.width), heads of \(size.headSize), \(patches) patches of "
                    + "\(size.patchSize) × \(size.patchSize), \(prunableCount) prunable weights"),
            .init(
                "vision pre-training",
                "\(size.pretrainingSteps) steps of \(size.pretrainingBatch) of \(task.pretraining.count) images of "
                    + "\(task.name) (\(task.pretraining.classNames.joined(separator: ", "))), AdamW, peak rate "
                    + "\(MarkupText.number(size.pretrainingRate)); self-supervised: \(task.hiddenCount) of \(patches) "
                    + "patches hidden; \(size.checkpoints) checkpoints"),
            .init(
                "vision fine-tuning",
                "\(size.tuningSteps) steps of \(size.tuningBatch) of \(task.tuning.count) images of the other classes "
                    + "(\(task.tuning.classNames.joined(separator: ", "))), AdamW, rate "
                    + "\(MarkupText.number(size.tuningRate)) falling to 0; tested on \(task.testCount) other images"),
            .init(
                "vision masks at fewer sparsities",
                "layer by layer, random ERK, iterative and from initial weights: "
                    + EssentialSparsity.coarseSparsities.map { MarkupText.number($0) }.joined(separator: ", ")),
            .init("vision seeds", seeds.map { "\($0)" }.joined(separator: ", ")),
        ]
    }

    static let protocolText =
        "Vision transformers, fine-tune protocol: networks with the same initial weights are pre-trained on the same "
        + "images of half of the classes, with the same steps and rates, to tell the class or to fill in the pixels of "
        + "hidden patches; then they are pruned in one shot and fine-tuned with the mask held, to tell the other "
        + "classes. Pruned are the attention and feed-forward matrices of the blocks. Every fine-tuning sees the same "
        + "batches; s_τ allows 5 % of what is above guessing."

    var notes: [String] {
        Kind.allCases.compactMap { kind in
            trials.compactMap { $0.tuned[kind] }.firstStarved(by: Label.global).map { first in
                "In a \(kind.rawValue) vision transformer a global threshold leaves less than 5 % of \(first.weight) at "
                    + "\(MarkupText.percent(first.sparsity)) in all, the first matrix to starve."
            }
        }
    }
}
