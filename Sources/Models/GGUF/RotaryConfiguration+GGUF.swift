import CoppiceTensors
import Foundation

extension RotaryConfiguration {
    /// Reads `rope.*` and the tensor `rope_freqs.weight`.
    ///
    /// Converters write Llama 3's scaling only as the factors by which each frequency is divided; its parameters are
    /// found again from them.
    init(gguf file: GGUFFile, _ fields: GGUFFields, headSize: Int, maximumPositions: Int) throws {
        let base = try fields.positive("rope.freq_base") ?? 10_000
        guard base > 1 else { throw fields.mismatch("rope.freq_base", "a number greater than 1") }
        self.init(base: base)
        let original = try fields.optionalInteger("rope.scaling.original_context_length")
        if let info = file.tensors[GGUFTensorNames.rotaryFactors] {
            func failure(_ message: String) -> CoppiceError {
                CoppiceError(.badData, source: file.path, field: info.name, message)
            }
            guard info.type == .dense(.f32), info.shape == [headSize / 2] else {
                throw failure("expected f32 [\(headSize / 2)], found \(info.type) \(info.shape)")
            }
            let factors = try file.tensor(info.name).contiguous().withElements(Float.self) { $0.map(Double.init) }
            guard let found = recovered(factors, originals: [original, 8192, maximumPositions].compactMap { $0 }) else {
                throw failure("expected the factors of Llama 3's scaling of rotary frequencies, found others")
            }
            scaling = found
            return
        }
        let name = try fields.string("rope.scaling.type") ?? "none"
        let older = try fields.positive("rope.scale_linear")
        let factor = try fields.positive("rope.scaling.factor") ?? older ?? 1
        switch name {
        case "none": scaling = older.map { $0 == 1 ? .none : .linear(factor: $0) } ?? .none
        case "linear": scaling = factor == 1 ? .none : .linear(factor: factor)
        case "yarn":
            // The file's factor multiplies the usual amplitude.
            let share = try fields.positive("rope.scaling.attn_factor") ?? 1
            let usual = factor <= 1 ? 1 : 0.1 * log(factor) + 1
            scaling = .yarn(
                YarnScaling(
                    factor: factor, originalContext: original ?? maximumPositions,
                    attentionFactor: share == 1 ? nil : share * usual,
                    betaFast: try fields.positive("rope.scaling.yarn_beta_fast") ?? 32,
                    betaSlow: try fields.positive("rope.scaling.yarn_beta_slow") ?? 1))
        default: throw fields.mismatch("rope.scaling.type", "one of none, linear, yarn")
        }
    }

    /// What each frequency is divided by.
    func factors(headSize: Int) -> [Double] {
        let plain = RotaryConfiguration(base: base).frequencies(headSize: headSize, context: 1, length: 0).angles
        let scaled = frequencies(headSize: headSize, context: 1, length: 0).angles
        return zip(plain, scaled).map { $0 / $1 }
    }

    /// The scaling of Llama 3 that gives these factors; nil when there is none.
    ///
    /// 1 / factor_i is linear in frequency_i between the two bounds. Multiplying both bounds and the original context
    /// by the same number changes nothing, so that any original context serves.
    private func recovered(_ factors: [Double], originals: [Int]) -> Scaling? {
        guard let factor = factors.max(), factor.isFinite, factors.allSatisfy({ $0 >= 1 - 1e-4 }) else { return nil }
        if factor < 1 + 1e-4 { return Scaling.none }
        func fits(_ scaling: Scaling) -> Bool {
            var other = self
            other.scaling = scaling
            return zip(factors, other.factors(headSize: factors.count * 2)).allSatisfy { abs($0 / $1 - 1) < 1e-4 }
        }
        let angles = RotaryConfiguration(base: base)
            .frequencies(headSize: factors.count * 2, context: 1, length: 0).angles
        // (1 / factor_i - 1 / factor) / (1 - 1 / factor) = (context / wavelength_i - low) / (high - low)
        func share(_ index: Int) -> Double { (1 / factors[index] - 1 / factor) / (1 - 1 / factor) }
        let between = factors.indices.filter { factors[$0] > 1 + 1e-4 && factors[$0] < factor * (1 - 1e-4) }
        // The usual bounds are 1 and 4; then one frequency between them tells the context.
        let implied = between.first.map { Int(((3 * share($0) + 1) * 2 * Double.pi / angles[$0]).rounded()) }
        for original in originals + [implied].compactMap({ $0 }) {
            let usual = Scaling.llama3(
                factor: factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: original)
            if fits(usual) { return usual }
        }
        guard let first = between.first, let last = between.last, first < last, let original = originals.first else {
            return nil
        }
        func turns(_ index: Int) -> Double { Double(original) * angles[index] / (2 * Double.pi) }
        let span = (turns(first) - turns(last)) / (share(first) - share(last))
        let low = turns(first) - share(first) * span
        let found = Scaling.llama3(
            factor: factor, lowFrequencyFactor: low, highFrequencyFactor: low + span, originalContext: original)
        return span > 0 && low > 0 && fits(found) ? found : nil
    }
}
