import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// An encoder in memory that loses whole heads and neurons.
struct NarrowedEncoder {
    /// What is left.
    private(set) var network: any EncoderNetwork
    /// What is left of tensors that were cut.
    private(set) var cuts: [String: (axis: Int, positions: [Int])] = [:]
    private let data: (any EncoderData)?
    private let seed: UInt64

    /// - Parameter data: the text that scores are measured on; nil where none are.
    init(_ network: any EncoderNetwork, data: (any EncoderData)?, seed: UInt64) {
        self.network = network
        self.data = data
        self.seed = seed
    }

    /// What is left of a tensor of the whole encoder.
    func cut(_ tensor: Tensor, _ name: String) -> Tensor {
        guard let cut = cuts[name] else { return tensor }
        return withoutRecording { tensor.take(Tensor(cut.positions), axis: cut.axis) }
    }

    private func parameter(_ name: String) -> Parameter? {
        network.parameters.first { $0.name == name }?.parameter
    }

    /// Sets what masks remove to zero.
    func apply(_ masks: (_ name: String) -> WeightMask?) {
        for (name, parameter) in network.parameters {
            guard let mask = masks(name) else { continue }
            var values = parameter.wrappedValue.detached()
            mask.apply(to: &values)
            parameter.wrappedValue = values
        }
    }
}

extension NarrowedEncoder: UnitModel {
    func values(of name: String) throws -> Tensor {
        guard let parameter = parameter(name) else {
            throw CoppiceError(.badData, field: name, "there is no such weight")
        }
        return parameter.wrappedValue.detached()
    }

    func shape(of name: String) -> [Int]? { parameter(name)?.wrappedValue.shape }

    func blocks() throws -> any BlockwiseModel {
        EncoderBlocks(network)
    }

    /// On as many windows as there are of the text, with hidden tokens, or on as many labelled texts.
    func taylorScores(
        _ units: TransformerUnits, zeros: (_ name: String) -> WeightMask?, on windows: CalibrationWindows,
        progress: (_ done: Int) -> Void
    ) throws -> [[Double]] {
        guard let data else { throw CoppiceError(.internal, field: "taylor", "has no calibration text") }
        apply(zeros)
        let batches = try data.samples(windows.windows.count, of: 1, seed: seed)
        return try units.taylorScores(of: network, windows: batches.count, progress: progress) { index in
            network.loss(batches[index])
        }
    }

    mutating func cut(_ units: TransformerUnits, keeping kept: [[Int]]) {
        let count = kept.first?.count ?? 0
        guard count < units.count else { return }
        for (block, own) in kept.enumerated() {
            for part in units.parts {
                cuts[units.name(part, block: block)] = (part.axis, part.positions(own))
            }
        }
        let own = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        let narrow = network.unloaded(units.configuration(network.configuration, keeping: count))
        let touched = Set((0..<units.blockCount).flatMap { block in units.parts.map { units.name($0, block: block) } })
        for (name, parameter) in narrow.parameters {
            guard let whole = own[name]?.wrappedValue.detached() else { continue }
            parameter.wrappedValue = touched.contains(name) ? cut(whole, name) : whole
        }
        network = narrow
    }
}
