import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

extension PreCropping.Mode: ExpressibleByArgument {}
extension PreCropping.Proxy: ExpressibleByArgument {}
extension DensitySource: ExpressibleByArgument {}

/// `coppice precrop`: the widths of a vision network for a budget, before it is trained.
struct Precrop: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Choose the widths of a vision network for a budget of parameters or multiplications.",
        discussion: """
            The result is a smaller dense network with new weights, to be trained; with --materialize, the weights \
            of a stored network that are left. Without --output only the table is printed. Budgets are numbers \
            (80000, 80k, 1.5M) or parts of the network (30%).
            """)

    @OptionGroup var model: VisionArgument
    @Option(help: ArgumentHelp("The most parameters.", valueName: "budget"))
    var params: BudgetArgument?
    @Option(help: ArgumentHelp("The most multiplications with weights for one image (MACs).", valueName: "budget"))
    var flops: BudgetArgument?
    @Option(help: "crop: layers only shrink; config: layers may also become up to twice as wide.")
    var mode = PreCropping.Mode.crop
    @Option(help: ArgumentHelp("Widths are multiples of it, but for those that stay as they are.", valueName: "n"))
    var round = 1
    @Option(help: "What decides how dense layers are, one against the other; snip and grasp need --data.")
    var densityFrom = DensitySource.synexp
    @Option(
        help: ArgumentHelp(
            "What stands for the signal: log-sum, of all layers one after the other; residual, with the ways around "
                + "residual blocks. With --density-from synexp.", valueName: "p"))
    var proxy = PreCropping.Proxy.logSum
    @Option(
        help: ArgumentHelp("A folder of labelled images: IDX, CIFAR or a folder for each class.", valueName: "folder"))
    var data: String?
    @Flag(help: "Keep the weights of a stored network that are left, instead of new ones.")
    var materialize = false
    @Flag(
        help: ArgumentHelp(
            "Measure how long the choice takes, and time and memory of training steps and passes of both networks, on "
                + "32 images of noise."))
    var measure = false
    @Option(help: ArgumentHelp("Seeds new weights and the choice of images.", valueName: "n"))
    var seed: UInt64 = 0
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String?
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if params == nil, flops == nil { throw ValidationError("expected --params, --flops or both") }
        if round < 1 { throw ValidationError("--round: expected at least 1, found \(round)") }
        if densityFrom.needsData, data == nil {
            throw ValidationError("--density-from \(densityFrom.rawValue): expected --data beside it")
        }
        if proxy != .logSum, densityFrom != .synexp {
            throw ValidationError("--proxy \(proxy.rawValue): is for --density-from synexp")
        }
        if !densityFrom.needsData, data != nil {
            throw ValidationError("--data: is for --density-from snip or grasp")
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let (architecture, checkpoint) = try model.open()
        try Output.check(folder: output, spares: model.network)
        if materialize, checkpoint == nil {
            throw CoppiceError(
                .usage, source: model.network, "--materialize needs the weights of a stored network")
        }
        let batches = try batches(architecture, checkpoint)
        let (plan, seconds) = try timedPlan(architecture, batches)
        let network = try network(plan, checkpoint)
        if let output {
            try VisionCheckpoint.write(
                network, architecture: plan.architecture, normalization: checkpoint?.normalization, folder: output)
        }
        let speeds =
            measure ? try SpeedComparison(architecture.makeNetwork(seed: seed), network, seed: seed) : nil
        if common.json {
            guard case .object(var fields) = plan.json else { return }
            fields["output"] = output.map { .string($0) } ?? .null
            if let speeds {
                fields["allocation_seconds"] = .number(seconds)
                fields.merge(speeds.json) { $1 }
            }
            try Output.json(.object(fields))
        } else {
            try Output.line(plan.text)
            if let speeds {
                try Output.line("widths by \(densityFrom.rawValue): \(Output.number(seconds * 1e3)) ms")
                try Output.line(speeds.text)
            }
            if let output { try Output.line("\(output): \(materialize ? "the weights that are left" : "new weights")") }
        }
    }

    /// The plan, and the seconds that the choice takes from the architecture on: of moments, the median of five.
    private func timedPlan(
        _ architecture: VisionArchitecture, _ batches: [LabeledBatch]
    ) throws -> (plan: CropPlan<ChannelStructure>, seconds: Double) {
        var times: [Double] = []
        while true {
            let start = ContinuousClock.now
            let plan = try self.plan(architecture, batches)
            times.append((ContinuousClock.now - start) / .seconds(1))
            if !measure || times.count == 5 || times[0] > 0.2 { return (plan, times.sorted()[times.count / 2]) }
        }
    }

    private func plan(
        _ architecture: VisionArchitecture, _ batches: [LabeledBatch]
    ) throws -> CropPlan<ChannelStructure> {
        let structure = try ChannelStructure(architecture)
        var cropping = PreCropping(parameters: Int.max, mode: mode, rounding: round)
        cropping.proxy = proxy
        cropping.parameters = params?.count(of: structure.parameterCount(structure.widths))
        cropping.multiplications = flops?.count(of: structure.multiplications(structure.widths))
        switch densityFrom {
        case .synexp: return try cropping.plan(for: structure)
        case .synexpLayers:
            return try cropping.plan(for: structure, densities: cropping.layerDensities(structure))
        case .uniform: return try cropping.plan(for: structure, densities: nil)
        case .erk, .synflow, .snip, .grasp:
            let densities = try densityFrom.densities(
                of: architecture, kept: cropping.keptFraction(structure), seed: seed, batches: batches)
            return try cropping.plan(for: structure, densities: densities)
        }
    }

    /// What SNIP and GraSP see.
    private func batches(
        _ architecture: VisionArchitecture, _ checkpoint: VisionCheckpoint?
    ) throws -> [LabeledBatch] {
        guard let data else { return [] }
        return [
            try VisionArgument.batch(
                data, for: architecture, normalization: checkpoint?.normalization, imagesPerClass: 10, seed: seed)
        ]
    }

    private func network(_ plan: CropPlan<ChannelStructure>, _ checkpoint: VisionCheckpoint?) throws
        -> any VisionNetwork
    {
        guard materialize, let checkpoint else { return plan.architecture.makeNetwork(seed: seed) }
        return try ChannelCropping(plan.structure, to: plan.widths)(checkpoint.network())
    }
}
