import CoppiceTensors

/// What `tokenizer_config.json` says of a BERT tokenizer whose vocabulary is a `vocab.txt`; defaults are those of
/// `transformers`.
struct BertTokenizerSettings: Sendable {
    var lowercases = true
    /// nil: as ``lowercases``.
    var stripsAccents: Bool?
    var separatesIdeographs = true
    var unknown = "[UNK]"
    var begin = "[CLS]"
    var end = "[SEP]"
    var padding = "[PAD]"
    var mask = "[MASK]"

    init() {}

    /// - Throws: ``CoppiceError`` (`badData`) naming a field of another type.
    init(_ json: JSON, source: String) throws {
        let fields = ConfigurationFields(json: json, source: source)
        lowercases = try fields.flag("do_lower_case", default: true)
        if let strips = json["strip_accents"], !strips.isNull {
            stripsAccents = try fields.flag("strip_accents", default: true)
        }
        separatesIdeographs = try fields.flag("tokenize_chinese_chars", default: true)
        unknown = TokenizerConfiguration.name(json["unk_token"]) ?? unknown
        begin = TokenizerConfiguration.name(json["cls_token"]) ?? begin
        end = TokenizerConfiguration.name(json["sep_token"]) ?? end
        padding = TokenizerConfiguration.name(json["pad_token"]) ?? padding
        mask = TokenizerConfiguration.name(json["mask_token"]) ?? mask
    }

    var normalizer: BertNormalizer {
        BertNormalizer(
            separatesIdeographs: separatesIdeographs, stripsAccents: stripsAccents ?? lowercases,
            lowercases: lowercases)
    }
}
