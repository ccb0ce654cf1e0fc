import CoppiceModels
import CoppiceTensors

extension TrainingRun {
    /// A run that trains a decoder language model and writes it as a Hugging Face folder: `config.json`,
    /// `model.safetensors` (bfloat16), the tokenizer, `README.md` (the model card) and `recipe.yaml`.
    ///
    /// - Parameter pruning: makes the hook that prunes the model, for recipes with a `prune` section.
    public init(recipe: TrainingRecipe, options: Options, pruning: @escaping PruningHook = noPruning) {
        self.init(recipe: recipe, options: options, parts: .decoder(pruning))
    }

    /// Makes the hook that prunes a model by a schedule while it is trained.
    public typealias PruningHook =
        (DecoderNetwork, TrainingRecipe.Pruning, ComputePhaseSchedule) throws -> any StoredTrainingHook

    /// - Throws: always: training alone does not prune.
    public static func noPruning(
        _ network: DecoderNetwork, _ pruning: TrainingRecipe.Pruning, _ schedule: ComputePhaseSchedule
    ) throws -> any StoredTrainingHook {
        throw CoppiceError(.usage, field: "prune", "this run was made without a method that prunes")
    }
}

extension TrainingRun.Parts {
    package static func decoder(_ pruning: @escaping TrainingRun.PruningHook) -> Self {
        Self(
            tokenizer: { try TrainingTokenizer.make($0, text: $1, folder: $2, progress: $3) },
            learner: { recipe, tokenizer, schedule in
                let network = DecoderNetwork(recipe, configuration: recipe.configuration(tokenizer))
                guard let section = recipe.prune, let schedule else { return DecoderLearner(network, recipe: recipe) }
                return DecoderLearner(network, recipe: recipe, hooks: [try pruning(network, section, schedule)])
            },
            export: { model, output in
                let writer = try CheckpointWriter(
                    path: output, configuration: model.recipe.configuration(model.tokenizer),
                    tokenizerFolder: model.tokenizer.folder)
                for parameter in model.parameters {
                    try writer.add(parameter.name, parameter.tensor.converted(to: .bf16))
                }
                try writer.addFile("README.md", model.card)
                if !model.recipe.text.isEmpty { try writer.addFile("recipe.yaml", model.recipe.text) }
                try writer.finish()
            })
    }
}

extension TrainingRecipe {
    fileprivate func configuration(_ tokenizer: TrainingTokenizer) -> DecoderConfiguration {
        configuration(
            vocabularySize: tokenizer.vocabularySize, beginToken: tokenizer.beginToken, endToken: tokenizer.endToken)
    }
}
