import CoppiceModels

extension TrainingRecipe {
    /// The architecture with the tokenizer's numbers filled in.
    public func configuration(vocabularySize: Int, beginToken: Int?, endToken: Int) -> DecoderConfiguration {
        DecoderConfiguration(
            family: DecoderConfiguration.Family(rawValue: model.family.rawValue) ?? .llama,
            vocabularySize: vocabularySize, hiddenSize: model.hiddenSize, intermediateSize: model.intermediateSize,
            layerCount: model.layers, headCount: model.heads, keyValueHeadCount: model.keyValueHeads,
            headSize: model.headSize, maximumPositions: model.context, normEpsilon: model.normEpsilon,
            rotary: RotaryConfiguration(base: model.ropeBase), tiesEmbeddings: model.tiesEmbeddings,
            beginToken: beginToken, endTokens: [endToken], dataType: .bf16)
    }
}

extension DecoderNetwork {
    /// An untrained model of a recipe.
    public convenience init(_ recipe: TrainingRecipe, configuration: DecoderConfiguration) {
        self.init(configuration, seed: recipe.seed, initialDeviation: recipe.model.initialDeviation)
    }
}

extension DecoderLearner {
    /// An untrained model of a recipe.
    public convenience init(_ recipe: TrainingRecipe, configuration: DecoderConfiguration) {
        self.init(DecoderNetwork(recipe, configuration: configuration), recipe: recipe)
    }
}
