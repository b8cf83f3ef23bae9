import Fields

/// What sizes in a configuration may be: bounds that no real model comes near, and that keep every product
/// of sizes within 64 bits.
public enum ConfigLimit {
  /// Layers of a model.
  public static let layers = FieldRange.between(1, 4096)
  /// Width of the residual stream.
  public static let width = FieldRange.between(1, 1 << 20)
  /// Channels of a projection, heads, groups.
  public static let channels = FieldRange.between(1, 1 << 22)
  /// Rows of the embeddings.
  public static let vocabulary = FieldRange.between(1, 1 << 24)
  /// Taps of a convolution.
  public static let convolution = FieldRange.between(1, 256)
  /// State size.
  public static let state = FieldRange.between(1, 1 << 16)
  /// Ratios of channels to the width.
  public static let expansion = FieldRange.over(0.0, atMost: 64.0)
}
