import CoppiceModels
import CoppiceTensors

extension TrainingRun {
    /// A run that trains a decoder language model and writes it as a Hugging Face folder: `config.json`,
    /// `model.safetensors` (bfloat16), the tokenizer, `README.md` (the model card) and `recipe.yaml`.
    public init(recipe: TrainingRecipe, options: Options) {
        self.init(recipe: recipe, options: options, parts: .decoder)
    }
}

extension TrainingRun.Parts {
    package static var decoder: Self {
        Self(
            tokenizer: { try TrainingTokenizer.make($0, text: $1, folder: $2, progress: $3) },
            learner: { recipe, tokenizer in
                DecoderLearner(recipe, configuration: recipe.configuration(tokenizer))
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
