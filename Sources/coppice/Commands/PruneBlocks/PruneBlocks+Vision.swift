import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// Residual blocks of vision networks.
extension PruneBlocks {
    private var visionCriterion: BlockCriterion { criterion ?? .grasp }

    func runVision() throws {
        try refuse(
            [
                ("--blocks", blocks != nil), ("--calibration", calibration != nil), ("--windows", windows != nil),
                ("--length", length != nil), ("--evaluate", evaluate != nil), ("--skip-evaluation", skipEvaluation),
            ], "is for language models; --data names images")
        if visionCriterion.needsData, data == nil {
            throw CoppiceError(.usage, field: "--criterion \(visionCriterion.rawValue)", "expected --data beside it")
        }
        let (architecture, checkpoint) = try model.open()
        if !visionCriterion.needsData, data != nil, checkpoint == nil {
            throw CoppiceError(
                .usage, field: "--data",
                "is not looked at with --criterion \(visionCriterion.rawValue) of a new network")
        }
        if !visionCriterion.needsData, imagesPerClass != nil {
            throw CoppiceError(
                .usage, field: "--images-per-class", "is not looked at with --criterion \(visionCriterion.rawValue)")
        }
        let network = try checkpoint?.network() ?? architecture.makeNetwork(seed: seed)
        let (batch, images) = try openImages(architecture, checkpoint)
        let scores = try BlockScores(
            of: network, by: visionCriterion, removable: removable ?? .strict, aggregate: aggregate,
            batches: batch.map { [$0] } ?? [], seed: seed)
        let plan = try plan(scores, network, architecture)
        let (early, step) = try early(architecture)
        let shallow = plan.removal(early ?? network)
        if let output {
            try VisionCheckpoint.write(
                shallow, architecture: plan.removal.architecture, normalization: checkpoint?.normalization,
                folder: output)
        }
        let measured = images.flatMap { accuracy(network, plan.removal, on: $0) }
        let speeds = measure ? try SpeedComparison(network, shallow, seed: seed, watts: watts) : nil
        if common.json {
            guard case .object(var fields) = plan.json else { return }
            fields["criterion"] = .string(visionCriterion.rawValue)
            let unmeasured: OrderedDictionary<String, JSON> = ["accuracy_before": .null, "accuracy_after": .null]
            fields.merge(measured?.json ?? unmeasured) { $1 }
            fields["output"] = output.map { .string($0) } ?? .null
            fields["rewound_to"] = rewind.map { .string($0) } ?? .null
            fields["rewound_step"] = step.map { .integer($0) } ?? .null
            if let speeds {
                fields.merge(speeds.json) { $1 }
                fields.merge(speeds.gain((plan.before, plan.after)).json) { $1 }
            }
            try Output.json(.object(fields))
        } else {
            try Output.line(plan.text)
            if let measured { try Output.line(measured.text) }
            if let speeds {
                try Output.line(speeds.text)
                try Output.line(speeds.gain((plan.before, plan.after)).text)
            }
            if let output { try Output.line(outputLine(output, step)) }
        }
    }

    /// What was written, for people.
    func outputLine(_ output: String, _ step: Int?) -> String {
        let weights = rewind.map { ", with the weights of \($0)" + (step.map { ", step \($0)" } ?? "") } ?? ""
        return "\(output): the blocks that are left\(weights)"
    }

    /// Labelled training images for criteria that look at some, and what accuracy of a stored network is measured on.
    private func openImages(
        _ architecture: VisionArchitecture, _ checkpoint: VisionCheckpoint?
    ) throws -> (batch: LabeledBatch?, evaluation: CompressionImages?) {
        guard let data else { return (nil, nil) }
        let perClass = imagesPerClass ?? 10
        guard let checkpoint else {
            return (
                try VisionArgument.batch(
                    data, for: architecture, normalization: nil, imagesPerClass: perClass, seed: seed), nil
            )
        }
        let images = try CompressionImages(folder: data, for: checkpoint, seed: seed)
        guard visionCriterion.needsData else { return (nil, images) }
        guard let training = images.training else {
            throw CoppiceError(
                .noInput, source: data,
                "holds no training images, which --criterion \(visionCriterion.rawValue) looks at")
        }
        return (try VisionArgument.batch(training, imagesPerClass: perClass, seed: seed, source: data), images)
    }

    /// Of the network that was judged, and of what is left of it.
    private func accuracy(
        _ network: any VisionNetwork, _ removal: BlockRemoval, on images: CompressionImages
    ) -> CompressionReport.Accuracy? {
        let evaluation = images.evaluation
        let progress = common.progress
        func classify(_ network: any VisionNetwork) -> Classification? {
            progress.begin("evaluate", total: evaluation.count, unit: "images")
            defer { progress.end("") }
            return Classification.measure(network, on: evaluation) { done in
                progress.advance(to: done, note: "")
                return true
            }
        }
        guard let before = classify(network), let after = classify(removal(network)) else { return nil }
        return CompressionReport.Accuracy(
            before: before.accuracy, after: after.accuracy, lossBefore: before.loss, lossAfter: after.loss,
            images: before.count, of: data ?? "", part: images.evaluatedOn)
    }

    private func plan(
        _ scores: BlockScores<ResidualBlockPlace>, _ network: any VisionNetwork, _ architecture: VisionArchitecture
    ) throws -> BlockPlan {
        if let count { return try BlockPlan(scores, removing: count, from: architecture) }
        if let latency {
            let images = SpeedComparison.noise(for: network, seed: seed)
            return try BlockPlan(scores, seconds: latency / 1e3, from: architecture) { removal in
                NetworkSpeed.passSeconds(of: removal(network), on: images)
            }
        }
        let structure = try ChannelStructure(architecture)
        let budget = flops?.count(of: structure.multiplications(structure.widths)) ?? 0
        return try BlockPlan(scores, multiplications: budget, from: architecture)
    }

    /// The network that the kept blocks' weights are taken from, and the step behind it where that is known.
    ///
    /// - Throws: `.badData` for a checkpoint of another architecture.
    private func early(_ architecture: VisionArchitecture) throws -> (network: (any VisionNetwork)?, step: Int?) {
        guard let rewind else { return (nil, nil) }
        if RunCheckpoint.isRun(rewind) {
            let checkpoint = try RunCheckpoint(rewind)
            let network = architecture.makeNetwork(seed: seed)
            try checkpoint.load(into: network)
            return (network, checkpoint.step)
        }
        let checkpoint = try VisionCheckpoint.open(rewind)
        guard checkpoint.architecture == architecture else {
            throw CoppiceError(
                .badData, source: rewind, field: "architecture",
                "\(checkpoint.architecture), expected that of the network whose blocks are judged: \(architecture)")
        }
        return (try checkpoint.network(), nil)
    }
}
