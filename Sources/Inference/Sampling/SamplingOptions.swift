import CoppiceTensors

/// How the next token is chosen from the logits.
///
/// The order is fixed: penalties, temperature, then top-k, top-p and min-p, each of which removes unlikely tokens,
/// then one random draw among those left. The defaults sample from the model's own distribution.
public struct SamplingOptions: Sendable, Hashable {
    /// Divides the logits; 0 takes the likeliest token always.
    public var temperature: Double
    /// Keeps only this many of the likeliest tokens; 0 keeps all.
    public var topK: Int
    /// Keeps the smallest set of likeliest tokens whose probabilities reach this sum; 1 keeps all.
    public var topP: Double
    /// Keeps tokens at least this fraction as likely as the likeliest one; 0 keeps all.
    public var minP: Double
    /// Divides positive and multiplies negative logits of tokens that the text holds already (Keskar et al.,
    /// CTRL, 2019, section 4.1); 1 changes nothing.
    public var repetitionPenalty: Double
    /// Subtracted from the logit of every token generated already.
    public var presencePenalty: Double
    /// Subtracted from a token's logit once for each time that it has been generated.
    public var frequencyPenalty: Double
    /// The same seed gives the same text, whatever else is in the batch. `nil` lets the engine choose one.
    public var seed: UInt64?

    public init(
        temperature: Double = 1, topK: Int = 0, topP: Double = 1, minP: Double = 0, repetitionPenalty: Double = 1,
        presencePenalty: Double = 0, frequencyPenalty: Double = 0, seed: UInt64? = nil
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.seed = seed
    }

    /// Always the likeliest token.
    public static let greedy = SamplingOptions(temperature: 0)

    /// Checks that every option is in its range.
    ///
    /// - Throws: ``CoppiceTensors/CoppiceError`` of kind `usage` that names the option and its range.
    public func validate() throws {
        func require(_ isValid: Bool, _ field: String, _ found: some CustomStringConvertible, _ range: String) throws {
            if !isValid { throw CoppiceError(.usage, field: field, "expected \(range), found \(found)") }
        }
        try require(
            temperature.isFinite && temperature >= 0, "temperature", temperature, "a finite number of at least 0")
        try require(topK >= 0, "top_k", topK, "an integer of at least 0")
        try require(topP > 0 && topP <= 1, "top_p", topP, "a number above 0 and at most 1")
        try require(minP >= 0 && minP <= 1, "min_p", minP, "a number from 0 to 1")
        try require(
            repetitionPenalty.isFinite && repetitionPenalty > 0, "repetition_penalty", repetitionPenalty,
            "a finite number above 0")
        try require(presencePenalty.isFinite, "presence_penalty", presencePenalty, "a finite number")
        try require(frequencyPenalty.isFinite, "frequency_penalty", frequencyPenalty, "a finite number")
    }
}
