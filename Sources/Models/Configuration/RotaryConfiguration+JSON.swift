import CoppiceTensors
import Foundation
import OrderedCollections

extension RotaryConfiguration {
    /// Reads `rope_theta` with `rope_scaling` (the older spelling) or `rope_parameters` (the newer one).
    init(_ fields: ConfigurationFields, maximumPositions: Int) throws {
        let newer = try fields.object("rope_parameters")
        let section = try newer ?? fields.object("rope_scaling")
        if let nested = newer?.json.objectValue?.first(where: { $0.value.objectValue != nil }) {
            throw fields.error(
                "rope_parameters.\(nested.key)", "different rotations for kinds of layers are not supported")
        }
        let base = try newer?.optionalPositive("rope_theta") ?? fields.optionalPositive("rope_theta") ?? 10_000
        guard base > 1 else { throw (newer ?? fields).mismatch("rope_theta", "a number greater than 1") }
        for holder in [fields, section].compactMap({ $0 }) {
            if let share = try holder.optionalPositive("partial_rotary_factor"), share != 1 {
                throw holder.mismatch("partial_rotary_factor", "1 (heads rotated in part are not supported)")
            }
        }
        let scaling = try section.map { try Scaling($0, outer: fields, maximumPositions: maximumPositions) }
        self.init(base: base, scaling: scaling ?? .none)
    }

    /// The older spelling, which all versions of `transformers` and other engines read.
    var jsonFields: OrderedDictionary<String, JSON> {
        ["rope_theta": .number(base), "rope_scaling": scaling.json]
    }
}

extension RotaryConfiguration.Scaling {
    fileprivate init(_ fields: ConfigurationFields, outer: ConfigurationFields, maximumPositions: Int) throws {
        let key = fields.value("rope_type") == nil && fields.value("type") != nil ? "type" : "rope_type"
        func factor() throws -> Double {
            let factor = try fields.positive("factor")
            guard factor >= 1 else { throw fields.mismatch("factor", "a number of at least 1") }
            return factor
        }
        func originalPositions() throws -> Int {
            let key = "original_max_position_embeddings"
            return try outer.optionalInteger(key) ?? fields.optionalInteger(key) ?? maximumPositions
        }
        switch try fields.optionalString(key) ?? "default" {
        case "default": self = .none
        case "linear": self = .linear(factor: try factor())
        case "dynamic": self = .dynamic(factor: try factor())
        case "llama3":
            let low = try fields.positive("low_freq_factor")
            let high = try fields.positive("high_freq_factor")
            guard low < high else { throw fields.mismatch("high_freq_factor", "more than low_freq_factor, \(low)") }
            self = .llama3(
                factor: try factor(), lowFrequencyFactor: low, highFrequencyFactor: high,
                originalContext: try originalPositions())
        case "yarn":
            let factor = try factor()
            self = .yarn(
                try RotaryConfiguration.YarnScaling(
                    factor: factor, originalContext: originalPositions(),
                    attentionFactor: Self.attentionFactor(fields, factor: factor),
                    betaFast: fields.optionalPositive("beta_fast") ?? 32,
                    betaSlow: fields.optionalPositive("beta_slow") ?? 1,
                    truncates: fields.flag("truncate", default: true)))
        default: throw fields.mismatch(key, "one of default, linear, dynamic, llama3, yarn")
        }
    }

    /// The factor that a file gives, or implies by DeepSeek's weights of log(factor) in its numerator and denominator.
    private static func attentionFactor(_ fields: ConfigurationFields, factor: Double) throws -> Double? {
        if let given = try fields.optionalPositive("attention_factor") { return given }
        guard let above = try fields.optionalPositive("mscale", orZero: true), above != 0,
            let below = try fields.optionalPositive("mscale_all_dim", orZero: true), below != 0, factor > 1
        else { return nil }
        return (0.1 * above * log(factor) + 1) / (0.1 * below * log(factor) + 1)
    }

    fileprivate var json: JSON {
        switch self {
        case .none: return .null
        case .linear(let factor): return ["rope_type": .string("linear"), "factor": .number(factor)]
        case .dynamic(let factor): return ["rope_type": .string("dynamic"), "factor": .number(factor)]
        case .llama3(let factor, let low, let high, let original):
            return [
                "rope_type": .string("llama3"), "factor": .number(factor), "low_freq_factor": .number(low),
                "high_freq_factor": .number(high), "original_max_position_embeddings": .integer(original),
            ]
        case .yarn(let scaling):
            var fields: OrderedDictionary<String, JSON> = [
                "rope_type": .string("yarn"), "factor": .number(scaling.factor),
                "original_max_position_embeddings": .integer(scaling.originalContext),
                "beta_fast": .number(scaling.betaFast), "beta_slow": .number(scaling.betaSlow),
            ]
            fields["attention_factor"] = scaling.attentionFactor.map { .number($0) }
            if !scaling.truncates { fields["truncate"] = .bool(false) }
            return .object(fields)
        }
    }
}
