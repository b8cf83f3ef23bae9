/// Upper bounds of configuration fields that no real model comes near, and that keep every product of
/// sizes within 64 bits.
public enum ConfigLimit {
  /// Layers of a model.
  public static let layers = 1...4096
  /// Width of the residual stream.
  public static let width = 1...(1 << 20)
  /// Channels of a projection, heads, groups.
  public static let channels = 1...(1 << 22)
  /// Rows of the embeddings.
  public static let vocabulary = 1...(1 << 24)
  /// Taps of a convolution.
  public static let convolution = 1...256
  /// State size.
  public static let state = 1...(1 << 16)
  /// Ratios of channels to the width.
  public static let expansion = 64.0
}
